"""What a simulated DLC pro knows by name: the controller's table of parameters, who may write them and
between what. Names and types are from toptica_dlcpro.md, section "Parameters worth having"; "invented"
marks what no source gives.
"""

from dataclasses import dataclass
from enum import IntEnum

from sim_instruments.lasers.dlcpro_device import DlcPro

Value = bool | int | float | str


class Level(IntEnum):
    """User levels: the higher the number, the fewer the rights."""

    INTERNAL, SERVICE, MAINTENANCE, NORMAL, READ_ONLY = range(5)


PASSWORDS = {Level.MAINTENANCE: "CAUTION"}
"""The levels that a password opens; NORMAL and READ_ONLY need none, the vendor keeps the others."""


class Code(IntEnum):
    """Error codes and negative statuses; all numbers but OUT_OF_RANGE of the notes' example invented."""

    SYNTAX, NOT_FOUND, ACCESS_DENIED, WRONG_TYPE, OUT_OF_RANGE = -1, -2, -3, -4, -11


class DecofError(Exception):
    """A request that the controller refuses."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Parameter:
    """A named value of the controller: the attribute of `DlcPro` that holds it, its type, who may write it
    (None: nobody), and between what; a bound may be the name of an attribute itself."""

    attribute: str
    kind: type[bool] | type[int] | type[float] | type[str]
    low: float | str = 0
    high: float | str = 0
    level: Level | None = None

    def read(self, device: DlcPro) -> Value:
        value: Value = getattr(device, self.attribute)
        return value

    def write(self, device: DlcPro, value: Value, level: Level) -> None:
        """Raises DecofError. Reals keep the six decimals that the controller shows (invented)."""
        if self.level is None or level > self.level:
            raise DecofError(Code.ACCESS_DENIED, "access denied")
        if type(value) is not self.kind:
            raise DecofError(Code.WRONG_TYPE, "wrong type")
        if isinstance(value, float):
            value = round(value, 6)
        if self.kind in (int, float):
            low, high = _bound(device, self.low), _bound(device, self.high)
            if not low <= float(value) <= high:
                raise DecofError(Code.OUT_OF_RANGE, "out of range")
        setattr(device, self.attribute, value)
        device.update()


def _bound(device: DlcPro, bound: float | str) -> float:
    return float(getattr(device, bound)) if isinstance(bound, str) else bound


def fixed(attribute: str, kind: type[bool] | type[int] | type[float] | type[str]) -> Parameter:
    return Parameter(attribute, kind)


def switch(attribute: str) -> Parameter:
    return Parameter(attribute, bool, level=Level.NORMAL)


def text(attribute: str) -> Parameter:
    return Parameter(attribute, str, level=Level.NORMAL)


def real(attribute: str, low: float | str, high: float | str, level: Level = Level.NORMAL) -> Parameter:
    return Parameter(attribute, float, low, high, level)


def whole(attribute: str, low: int, high: int) -> Parameter:
    return Parameter(attribute, int, low, high, Level.NORMAL)


PARAMETERS: dict[str, Parameter] = {
    "serial-number": fixed("serial_number", str),
    "fw-ver": fixed("fw_ver", str),
    "decof-ver": fixed("decof_ver", str),
    "system-type": fixed("system_type", str),
    "system-label": text("system_label"),
    "system-health": fixed("health", int),
    "system-health-txt": fixed("health_txt", str),
    "system-messages:count": fixed("message_count", int),
    "system-messages:count-new": fixed("message_count", int),
    "system-messages:latest-message": fixed("latest_message", str),
    "time": fixed("time", str),
    "uptime": fixed("uptime_s", int),
    "emission": fixed("emission", bool),
    "emission-button-enabled": fixed("button_enabled", bool),
    "interlock-open": fixed("interlock_open", bool),
    "frontkey-locked": fixed("frontkey_locked", bool),
    "laser1:type": fixed("head_type", str),
    "laser1:product-name": fixed("product_name", str),
    "laser1:label": text("head_label"),
    "laser1:emission": fixed("emission", bool),
    "laser1:enabled": switch("laser_enabled"),
    "laser1:health": fixed("health", int),
    "laser1:health-txt": fixed("health_txt", str),
    "laser1:busy": fixed("busy", bool),
    "laser1:dl:type": fixed("head_type", str),
    "laser1:dl:model": fixed("diode_model", str),
    "laser1:dl:serial-number": fixed("serial_number", str),
    "laser1:dl:ontime": fixed("ontime_whole_s", int),
    "laser1:dl:cc:enabled": switch("cc_enabled"),
    "laser1:dl:cc:emission": fixed("emission", bool),
    "laser1:dl:cc:current-set": real("current_set", 0.0, "current_clip"),
    "laser1:dl:cc:current-offset": fixed("current_offset", float),
    "laser1:dl:cc:current-act": fixed("current_act", float),
    "laser1:dl:cc:current-clip": real("current_clip", 0.0, "current_clip_limit"),
    "laser1:dl:cc:current-clip-limit": fixed("current_clip_limit", float),
    "laser1:dl:cc:voltage-act": fixed("voltage_act", float),
    # The one parameter above a session's first level, so that there is one; which are is not in the notes.
    "laser1:dl:cc:voltage-clip": real("voltage_clip", 0.0, 6.0, Level.MAINTENANCE),
    "laser1:dl:cc:positive-polarity": fixed("positive_polarity", bool),
    "laser1:dl:cc:pd": fixed("monitor_ma", float),
    "laser1:dl:cc:aux": fixed("aux", float),
    "laser1:dl:cc:status": fixed("cc_status", int),
    "laser1:dl:cc:status-txt": fixed("cc_status_txt", str),
    "laser1:dl:cc:forced-off": fixed("forced_off", bool),
    "laser1:dl:cc:external-input:enabled": switch("external_enabled"),
    "laser1:dl:cc:external-input:signal": whole("external_signal", 0, 8),
    "laser1:dl:cc:external-input:factor": real("external_factor", -1e3, 1e3),
    "laser1:dl:tc:enabled": switch("tc_enabled"),
    "laser1:dl:tc:temp-set": real("temp_set", "temp_set_min", "temp_set_max"),
    "laser1:dl:tc:temp-act": fixed("temp_act", float),
    "laser1:dl:tc:temp-set-min": fixed("temp_set_min", float),
    "laser1:dl:tc:temp-set-max": fixed("temp_set_max", float),
    "laser1:dl:tc:ready": fixed("temp_ready", bool),
    "laser1:dl:tc:current-act": fixed("peltier_a", float),
    "laser1:dl:tc:voltage-act": fixed("peltier_v", float),
    "laser1:dl:tc:fault": fixed("tc_fault", bool),
    "laser1:dl:tc:status": fixed("tc_status", int),
    "laser1:dl:tc:status-txt": fixed("tc_status_txt", str),
    "laser1:dl:pc:enabled": switch("pc_enabled"),
    "laser1:dl:pc:voltage-set": real("piezo_set", "piezo_min", "piezo_max"),
    "laser1:dl:pc:voltage-act": fixed("piezo_act", float),
    "laser1:dl:pc:voltage-min": fixed("piezo_min", float),
    "laser1:dl:pc:voltage-max": fixed("piezo_max", float),
    "laser1:dl:pc:status": fixed("pc_status", int),
    "laser1:dl:pc:status-txt": fixed("pc_status_txt", str),
    "laser1:scan:enabled": switch("scan_enabled"),
    "laser1:scan:amplitude": real("scan_amplitude", 0.0, "piezo_max"),
    "laser1:scan:offset": real("scan_offset", "piezo_min", "piezo_max"),
    "laser1:scan:frequency": real("scan_frequency", 0.02, 400.0),
    "laser1:scan:start": real("scan_start", "piezo_min", "scan_end"),
    "laser1:scan:end": real("scan_end", "scan_start", "piezo_max"),
    "laser1:scan:output-channel": whole("scan_channel", 0, 100),
    "laser1:scan:signal-type": whole("scan_signal_type", 0, 3),
    "laser1:scan:unit": fixed("scan_unit", str),
}
"""What the controller knows by name, but for `ul`, which belongs to the session. `output-filter` is left
out: the notes do not say what stands below it."""


def find(name: str) -> Parameter:
    """Raises DecofError for a name that the controller does not know."""
    if name not in PARAMETERS:
        raise DecofError(Code.NOT_FOUND, f"parameter '{name}' not found")
    return PARAMETERS[name]
