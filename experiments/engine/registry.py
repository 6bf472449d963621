"""Every kind of step that a plan can have, with the class that does it."""

from typing import Any

from experiments.calibrations.analyser_step import CalibrateAnalyserStep
from experiments.calibrations.arm_balance import BalanceArmsStep
from experiments.calibrations.delay_step import CalibrateDelaysStep
from experiments.calibrations.detectors import CalibrateDetectorsStep
from experiments.calibrations.hom_delay import ScanHomDelayStep
from experiments.calibrations.pair_delays import CalibratePairDelaysStep
from experiments.calibrations.polarization.step import (
    CompensatePolarizationStep,
    ReferencePolarizationStep,
)
from experiments.calibrations.source import CalibrateSourceStep
from experiments.config.plan import STEPS as PARAMETERS
from experiments.config.plan import PlanStep
from experiments.engine.bring_up import BringUpStep, WaitStep
from experiments.engine.step import Step
from experiments.measurements.characterize import CharacterizePairStep
from experiments.measurements.chsh import MeasureChshStep
from experiments.measurements.hom import MeasureHomStep
from experiments.measurements.node_pairs import MeasurePairsStep
from experiments.measurements.swap_rate_scan import ScanBsmWindowStep
from experiments.measurements.swapping import MeasureSwappingStep
from experiments.measurements.tomography import MeasureTomographyStep
from experiments.measurements.visibility import MeasureVisibilityStep

STEPS: dict[str, type[Step[Any]]] = {
    "balance_arms": BalanceArmsStep,
    "bring_up": BringUpStep,
    "calibrate_analyser": CalibrateAnalyserStep,
    "calibrate_delays": CalibrateDelaysStep,
    "calibrate_detectors": CalibrateDetectorsStep,
    "calibrate_pair_delays": CalibratePairDelaysStep,
    "calibrate_source": CalibrateSourceStep,
    "characterize_pair": CharacterizePairStep,
    "compensate_polarization": CompensatePolarizationStep,
    "measure_chsh": MeasureChshStep,
    "measure_hom": MeasureHomStep,
    "measure_pairs": MeasurePairsStep,
    "measure_swapping": MeasureSwappingStep,
    "measure_tomography": MeasureTomographyStep,
    "measure_visibility": MeasureVisibilityStep,
    "reference_polarization": ReferencePolarizationStep,
    "scan_bsm_window": ScanBsmWindowStep,
    "scan_hom_delay": ScanHomDelayStep,
    "wait": WaitStep,
}


def make_step(parameters: PlanStep) -> Step[Any]:
    """The step that does what one item of the plan asks for."""
    return STEPS[parameters.kind](parameters)


def maker_of(calibration: str) -> Step[Any] | None:
    """A step with default parameters that makes a calibration; None where no step does."""
    makers = (kind for kind, step in STEPS.items() if calibration in step.makes_calibrations)
    return next((STEPS[kind](PARAMETERS[kind]()) for kind in makers), None)
