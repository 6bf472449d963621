"""Capabilities: what every instrument of a kind can do, as abstract interfaces.

One file per capability. Experiments use these and nothing else, so that an instrument can be
replaced by another of its kind with a change of the testbed file alone.
"""

from drivers.capabilities.attenuator import Attenuator
from drivers.capabilities.click_counter import ClickCounter
from drivers.capabilities.clock_monitor import ClockMonitor, ClockStatus
from drivers.capabilities.coincidence_counter import CoincidenceCounter, Counts
from drivers.capabilities.delay_generator import DelayGenerator, Pulse
from drivers.capabilities.delay_line import DelayLine
from drivers.capabilities.diode_bias import DiodeBias
from drivers.capabilities.instrument import Control, Identity, Instrument, Limits, Settings
from drivers.capabilities.laser import Laser
from drivers.capabilities.latch_sensor import LatchSensor
from drivers.capabilities.nanowire_bias import NanowireBias
from drivers.capabilities.optical_switch import OpticalSwitch
from drivers.capabilities.polarimeter import Polarimeter, Stokes
from drivers.capabilities.polarization_controller import PolarizationController
from drivers.capabilities.power_meter import PowerMeter
from drivers.capabilities.rotation_mount import RotationMount
from drivers.capabilities.shutter import Shutter
from drivers.capabilities.single_photon_detector import SinglePhotonDetector
from drivers.capabilities.temperature_controller import TemperatureController
from drivers.capabilities.time_tagger import TimeTagger
from drivers.capabilities.tunable_laser import TunableLaser, TunableLaserSettings

__all__ = [
    "Attenuator",
    "ClickCounter",
    "ClockMonitor",
    "ClockStatus",
    "CoincidenceCounter",
    "Control",
    "Counts",
    "DelayGenerator",
    "DelayLine",
    "DiodeBias",
    "Identity",
    "Instrument",
    "Laser",
    "LatchSensor",
    "Limits",
    "NanowireBias",
    "OpticalSwitch",
    "Polarimeter",
    "PolarizationController",
    "PowerMeter",
    "Pulse",
    "RotationMount",
    "Settings",
    "Shutter",
    "SinglePhotonDetector",
    "Stokes",
    "TemperatureController",
    "TimeTagger",
    "TunableLaser",
    "TunableLaserSettings",
]
