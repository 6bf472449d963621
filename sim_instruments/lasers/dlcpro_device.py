"""The device behind a simulated DLC pro: a diode laser head with its current, temperature and piezo
controllers. It knows set-points, emission conditions and inertia, and puts its light into the port.

What no source in the protocol notes gives is marked invented.
"""

import math
from datetime import timedelta
from zlib import crc32

from sim_instruments.epoch import EPOCH
from sim_instruments.ports import LaserPort

TEMPERATURE_LAG_S = 5.0  # time constant; invented
TEMPERATURE_READY_C = 0.003  # "a few mK"; invented
ROOM_C = 22.0  # where an uncontrolled diode settles; invented
DIODE_V, DIODE_OHM = 1.6, 3.0  # forward voltage at no current, and its slope; invented
MONITOR_MA_PER_W = 5.0  # the head's monitor photodiode; invented
PELTIER_A_PER_C = 0.05  # current that holds the diode away from room temperature; invented
PELTIER_OHM = 2.0  # invented


class DlcPro:
    """The laser and its controller. Currents in mA and temperatures in C, as the controller counts."""

    def __init__(
        self, name: str, port: LaserPort, threshold_a: float, slope_w_per_a: float, max_power_w: float
    ) -> None:
        self.port = port
        self.threshold_ma = 1e3 * threshold_a
        self.slope_w_per_ma = 1e-3 * slope_w_per_a
        self.fw_ver, self.decof_ver, self.system_type = "3.3.3", "3.3.3", "DLCpro"
        self.serial_number = f"DLC PRO_{crc32(name.encode()) % 1_000_000:06d}"
        self.system_label = self.head_label = name
        self.busy, self.health, self.health_txt = (
            False,
            0,
            "OK",
        )  # no part of this device fails; the code of health is invented
        self.head_type, self.product_name, self.diode_model = "DLpro", "DL pro", "DL pro"
        self.messages: list[str] = []
        self.elapsed_s = 0.0
        self.ontime_s = 0.0
        # What stands in the way of emission, apart from current.
        self.interlock_open = False
        self.frontkey_locked = False
        self.button_enabled = True
        self.laser_enabled = True  # taken as one more condition; the notes say only that it is writable
        self.forced_off = False
        # laser1:dl:cc
        self._cc_enabled = False
        self.current_clip_limit = round(self.threshold_ma + max_power_w / self.slope_w_per_ma, 6)
        self.current_clip = self.current_clip_limit
        self.current_set = round(self.threshold_ma, 6)
        self.current_offset = self.aux = 0.0
        self.voltage_clip, self.positive_polarity = 4.0, True
        self.external_enabled, self.external_signal, self.external_factor = (
            False,
            0,
            0.0,
        )  # nothing plugged in
        # laser1:dl:tc, settled since long
        self.tc_enabled = True
        self.temp_set = self.temp_act = 25.0
        self.temp_set_min, self.temp_set_max = 15.0, 40.0
        self.tc_fault = False
        # laser1:dl:pc
        self.pc_enabled = True
        self.piezo_set, self.piezo_min, self.piezo_max = 70.0, 0.0, 140.0
        # laser1:scan. Its settings are kept and move nothing: the light's wavelength is not in the port.
        self.scan_enabled = False
        self.scan_amplitude, self.scan_offset, self.scan_frequency = 0.0, 70.0, 10.0
        self.scan_channel, self.scan_signal_type, self.scan_unit = 50, 1, "V"

    def advance(self, seconds: float) -> None:
        """Let time pass: the temperature creeps towards its goal, hours of operation add up."""
        goal = self.temp_set if self.tc_enabled else ROOM_C
        self.temp_act = goal + (self.temp_act - goal) * math.exp(-seconds / TEMPERATURE_LAG_S)
        self.ontime_s += seconds if self.emission else 0.0
        self.elapsed_s += seconds

    def update(self) -> None:
        """Bring the light in line with the settings; to be called after every change.

        An emission condition that fails while the current is enabled forces it off, and there it stays
        until `cc:enabled` is written again with the conditions met: a laser must not come on by itself
        when somebody closes a door. (That it needs the write is invented.)
        """
        if self._cc_enabled and (self.interlock_open or self.frontkey_locked or not self.button_enabled):
            self.forced_off = True
        self.port.power_w = (
            self.slope_w_per_ma * (self.current_act - self.threshold_ma) if self.emission else 0.0
        )

    @property
    def cc_enabled(self) -> bool:
        return self._cc_enabled

    @cc_enabled.setter
    def cc_enabled(self, on: bool) -> None:
        self._cc_enabled, self.forced_off = on, False

    @property
    def driving(self) -> bool:
        return self._cc_enabled and not self.forced_off and self.laser_enabled

    @property
    def current_act(self) -> float:
        return min(self.current_set, self.current_clip) if self.driving else 0.0

    @property
    def emission(self) -> bool:
        return self.driving and self.current_act >= self.threshold_ma

    @property
    def voltage_act(self) -> float:
        return DIODE_V + DIODE_OHM * 1e-3 * self.current_act if self.driving else 0.0

    @property
    def monitor_ma(self) -> float:
        return MONITOR_MA_PER_W * self.port.power_w

    @property
    def cc_status(self) -> int:
        return 1 if self.forced_off else 2 if self.emission else 0  # invented

    @property
    def cc_status_txt(self) -> str:
        return "forced off" if self.forced_off else "emission" if self.emission else "off"  # invented

    @property
    def temp_ready(self) -> bool:
        return self.tc_enabled and abs(self.temp_act - self.temp_set) < TEMPERATURE_READY_C

    @property
    def tc_status(self) -> int:
        return int(self.tc_enabled) + int(self.temp_ready)  # invented

    @property
    def tc_status_txt(self) -> str:
        return ("off", "settling", "ready")[self.tc_status]  # invented

    @property
    def peltier_a(self) -> float:
        return PELTIER_A_PER_C * (self.temp_set - ROOM_C) if self.tc_enabled else 0.0

    @property
    def peltier_v(self) -> float:
        return PELTIER_OHM * self.peltier_a

    @property
    def piezo_act(self) -> float:
        return self.piezo_set if self.pc_enabled else 0.0

    @property
    def pc_status(self) -> int:
        return int(self.pc_enabled)  # invented

    @property
    def pc_status_txt(self) -> str:
        return "on" if self.pc_enabled else "off"  # invented

    @property
    def scan_start(self) -> float:
        return self.scan_offset - self.scan_amplitude / 2

    @scan_start.setter
    def scan_start(self, start: float) -> None:
        self.scan_offset, self.scan_amplitude = (start + self.scan_end) / 2, self.scan_end - start

    @property
    def scan_end(self) -> float:
        return self.scan_offset + self.scan_amplitude / 2

    @scan_end.setter
    def scan_end(self, end: float) -> None:
        self.scan_offset, self.scan_amplitude = (self.scan_start + end) / 2, end - self.scan_start

    @property
    def time_ms(self) -> int:
        return round(1e3 * self.elapsed_s)

    @property
    def uptime_s(self) -> int:
        return self.time_ms // 1000

    @property
    def ontime_whole_s(self) -> int:
        return int(self.ontime_s)

    @property
    def time(self) -> str:
        return (EPOCH + timedelta(milliseconds=self.time_ms)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    @property
    def message_count(self) -> int:
        return len(self.messages)

    @property
    def latest_message(self) -> str:
        return self.messages[-1] if self.messages else ""
