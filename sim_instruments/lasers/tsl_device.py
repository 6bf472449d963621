"""The laser behind a simulated Santec TSL-570: diode, shutter, attenuator, tuning and sweeps.

Source: santec_tsl570.md of the protocol notes; "invented" marks what no source gives. Wavelengths are in nm
and powers in dBm here; which unit a command means is the dialect's affair.
"""

import math
from zlib import crc32

from sim_instruments.ports import LaserPort

SPEED_OF_LIGHT_NM_THZ = 299_792.458
MODELS_NM = ((1500.0, 1630.0), (1260.0, 1360.0))
"""Ranges of the notes; for a bench in another band it is `OTHER_BAND` to either side (invented)."""
OTHER_BAND = 0.05
POWER_DBM = (-15.0, 13.0)
WARM_UP_S = 40.0  # of the instrument after it gets power; "some minutes", shortened
DIODE_S = 10.0  # until a diode that is switched on gives its power; "tens of seconds", shortened
TUNING_S, TUNING_NM_S = 0.2, 100.0  # "0.1-1 s plus distance"
RETURN_S = 0.5  # of a sweep to its beginning; invented
STEP_S = 0.1  # for a step of a sweep, beside its dwell; invented
FINE_NM = 1e-3  # what one of the 200 steps of fine tuning does; invented
MONITOR_DB = -0.02  # how far the monitor is off, as in the notes' example
DARK_DBM = -70.0  # what the monitor reads without light; "-60..-80"
INTERLOCK_ALERT, WARM_UP_ALERT = "No07.,Interlock", "No23.,Ongoing Warm up"
STOPPED, RUNNING, WAITING, RETURNING = 0, 1, 3, 4
STEP_ONE_WAY, CONTINUOUS_ONE_WAY, STEP_TWO_WAY, CONTINUOUS_TWO_WAY = range(4)
MOST_POINTS = 100_000  # wavelengths that are logged; invented


class Tsl:
    """The laser."""

    def __init__(
        self, name: str, port: LaserPort, *, wavelength_m: float, tuning_range_hz: float, max_power_w: float
    ) -> None:
        self.port = port
        self.nominal_nm = 1e9 * wavelength_m
        self.nominal_thz = SPEED_OF_LIGHT_NM_THZ / self.nominal_nm
        low = SPEED_OF_LIGHT_NM_THZ / (self.nominal_thz + 1e-12 * tuning_range_hz)
        high = SPEED_OF_LIGHT_NM_THZ / (self.nominal_thz - 1e-12 * tuning_range_hz)
        self.range_nm: tuple[float, float] = next(
            ((a, b) for a, b in MODELS_NM if a <= low and high <= b),
            (math.floor(low * (1 - OTHER_BAND)), math.ceil(high * (1 + OTHER_BAND))),
        )
        self.power_range_dbm = POWER_DBM[0], max(POWER_DBM[1], math.ceil(10 * math.log10(1e3 * max_power_w)))
        self.serial = f"{21_000_000 + crc32(name.encode()) % 1_000_000}"
        self.interlock_open = False
        self.si_units = False
        self.power_in_mw = False
        self.switch_on()

    def switch_on(self) -> None:
        """As after power has come: diode off, shutter closed, warming up."""
        self.warm_up_s = WARM_UP_S
        self.diode_on, self.diode_s, self.shut = False, 0.0, True
        self.told_alerts = 0
        self.reset()

    def reset(self) -> None:
        """To the settings of `*RST`; the dialect and the unit of power stay (invented)."""
        self.wavelength_nm = self.now_nm = self.nominal_nm
        self.power_dbm = 0.0
        self.attenuation_db, self.automatic = 0.0, True
        self.fine, self.coherence, self.show_thz = 0.0, False, False
        self.tuning_s = 0.0
        self.sweep, self.cycles_done, self.backwards, self.pause_s = STOPPED, 0, False, 0.0
        self.start_nm, self.stop_nm = self.range_nm
        self.sweep_mode, self.speed_nm_s, self.step_nm = CONTINUOUS_ONE_WAY, 10.0, 1.0
        self.dwell_s, self.delay_s, self.cycles, self.repeats = 0.0, 0.0, 1, False
        self.trigger_output, self.trigger_step_nm = 0, 0.1
        self.external_trigger, self.standby = False, False
        self.logged: list[int] = []
        """Wavelengths of the last sweep in 0.1 pm."""
        self.touch_light()

    # Light

    def touch_light(self) -> None:
        frequency_thz = SPEED_OF_LIGHT_NM_THZ / (self.now_nm + FINE_NM * self.fine)
        self.port.detuning_hz = 1e12 * (frequency_thz - self.nominal_thz)
        self.port.power_w = 1e-3 * 10 ** (self.output_dbm / 10) if self.shines else 0.0

    @property
    def output_dbm(self) -> float:
        """What comes out with the shutter open and the diode warm."""
        return self.power_dbm if self.automatic else self.power_range_dbm[1] - self.attenuation_db

    @property
    def shines(self) -> bool:
        return self.diode_on and not self.diode_s and not self.shut

    @property
    def monitor_dbm(self) -> float:
        return self.output_dbm + MONITOR_DB if self.shines else DARK_DBM

    def switch_diode(self, on: bool) -> bool:
        """False: refused."""
        if on and self.interlock_open:
            return False
        if on and not self.diode_on:
            self.diode_s = DIODE_S
        self.diode_on = on
        return True

    @property
    def alerts(self) -> list[str]:
        alerts = [INTERLOCK_ALERT] if self.interlock_open else []
        warming = self.warm_up_s > 0 or (self.diode_on and self.diode_s > 0)
        return [*alerts, WARM_UP_ALERT] if warming else alerts

    def next_alert(self) -> str:
        """One alert per question, then `No alerts.`, then from the beginning again."""
        alerts, told = self.alerts, self.told_alerts
        self.told_alerts = told + 1 if told < len(alerts) else 0
        return alerts[told] if told < len(alerts) else "No alerts."

    # Tuning

    def tune(self, wavelength_nm: float) -> None:
        self.sweep = STOPPED
        self.wavelength_nm = wavelength_nm
        self.fine = 0.0
        self.tuning_s = TUNING_S + abs(wavelength_nm - self.now_nm) / TUNING_NM_S

    @property
    def tuned(self) -> bool:
        return not self.tuning_s and self.sweep in (STOPPED, WAITING)

    def advance(self, seconds: float) -> None:
        self.warm_up_s = max(0.0, self.warm_up_s - seconds)
        if self.diode_on:
            self.diode_s = max(0.0, self.diode_s - seconds)
        if self.tuning_s:
            share = min(1.0, seconds / self.tuning_s)
            self.tuning_s = max(0.0, self.tuning_s - seconds)
            self.now_nm = (
                self.now_nm + share * (self.wavelength_nm - self.now_nm)
                if self.tuning_s
                else self.wavelength_nm
            )
        elif self.sweep in (RUNNING, RETURNING):
            self._sweep_on(seconds)
        self.touch_light()

    # Sweeps

    def start_sweep(self) -> bool:
        """Begin at the start edge, or wait there for a trigger. False: refused."""
        if self.sweep in (RUNNING, RETURNING) or self.start_nm >= self.stop_nm:
            return False
        self.cycles_done, self.backwards, self.logged = 0, False, []
        self.wavelength_nm = self.now_nm = self.start_nm
        self.tuning_s = 0.0
        self.pause_s = self.delay_s
        self.sweep = WAITING if self.standby else RUNNING
        return True

    def stop_sweep(self) -> bool:
        if self.sweep != STOPPED:
            self.sweep = STOPPED
            self.wavelength_nm = self.now_nm
        return True

    def trigger(self) -> bool:
        """By software. False: nothing waits for it."""
        if self.sweep != WAITING:
            return False
        self.sweep = RUNNING
        return True

    @property
    def _sweep_nm_s(self) -> float:
        """The mean speed; a stepped sweep is taken as a continuous one of the same duration."""
        if self.sweep_mode in (CONTINUOUS_ONE_WAY, CONTINUOUS_TWO_WAY):
            return self.speed_nm_s
        return self.step_nm / (self.dwell_s + STEP_S)

    def _sweep_on(self, seconds: float) -> None:
        while seconds > 0 and self.sweep in (RUNNING, RETURNING):
            if self.pause_s:
                passed = min(seconds, self.pause_s)
                self.pause_s -= passed
                seconds -= passed
                continue
            if self.sweep == RETURNING:
                self.now_nm, self.sweep = self.start_nm, RUNNING
            goal = self.start_nm if self.backwards else self.stop_nm
            needed = abs(goal - self.now_nm) / self._sweep_nm_s
            if needed > seconds:
                self.now_nm += (1 if goal > self.now_nm else -1) * self._sweep_nm_s * seconds
                return
            self.now_nm = goal
            seconds -= needed
            self._turn()
        self.wavelength_nm = self.now_nm

    def _turn(self) -> None:
        """An edge has been reached."""
        if self.sweep_mode in (STEP_TWO_WAY, CONTINUOUS_TWO_WAY) and not self.backwards:
            self.backwards = True
            return
        self.backwards = False
        self.cycles_done += 1
        points = min(
            MOST_POINTS, 1 + math.floor((self.stop_nm - self.start_nm) / self.trigger_step_nm + 1e-9)
        )
        self.logged = [round(1e4 * (self.start_nm + n * self.trigger_step_nm)) for n in range(points)]
        if self.cycles_done >= self.cycles and not self.repeats:
            self.sweep = STOPPED
        elif self.sweep_mode in (STEP_ONE_WAY, CONTINUOUS_ONE_WAY):
            self.sweep, self.pause_s = RETURNING, RETURN_S + self.delay_s
        else:
            self.pause_s = self.delay_s
