"""The steps that a plan can have, and their parameters.

A new kind of step is one class in a module of this package and one line in `STEPS`.
"""

from collections.abc import Collection, Iterable

from experiments.config.plan.interference import MeasureHom, ScanBsmWindow, ScanHomDelay
from experiments.config.plan.measuring import Basis, MeasureInSettings, MeasureSwapping, SeekDelays
from experiments.config.plan.network import MeasurePairs
from experiments.config.plan.pairs import (
    CalibratePairDelays,
    CharacterizePair,
    MeasureChsh,
    MeasurePair,
    MeasureTomography,
    MeasureVisibility,
)
from experiments.config.plan.preparing import (
    BringUp,
    CalibrateAnalyser,
    CalibrateDelays,
    CompensatePolarization,
    ReferencePolarization,
    Wait,
)
from experiments.config.plan.step import LinkStep, PairStep, PlanStep, SetPoint, SwappingStep
from experiments.config.plan.sweeps import BalanceArms, CalibrateDetectors, CalibrateSource

__all__ = [
    "STEPS",
    "BalanceArms",
    "Basis",
    "BringUp",
    "CalibrateAnalyser",
    "CalibrateDelays",
    "CalibrateDetectors",
    "CalibratePairDelays",
    "CalibrateSource",
    "CharacterizePair",
    "CompensatePolarization",
    "LinkStep",
    "MeasureChsh",
    "MeasureHom",
    "MeasureInSettings",
    "MeasurePair",
    "MeasurePairs",
    "MeasureSwapping",
    "MeasureTomography",
    "MeasureVisibility",
    "PairStep",
    "PlanStep",
    "ReferencePolarization",
    "ScanBsmWindow",
    "ScanHomDelay",
    "SeekDelays",
    "SetPoint",
    "SwappingStep",
    "Wait",
    "result_name",
    "result_names",
]

STEPS: dict[str, type[PlanStep]] = {
    step.kind: step
    for step in (
        BalanceArms,
        BringUp,
        CalibrateAnalyser,
        CalibrateDelays,
        CalibrateDetectors,
        CalibratePairDelays,
        CalibrateSource,
        CharacterizePair,
        CompensatePolarization,
        MeasureChsh,
        MeasureHom,
        MeasurePairs,
        MeasureSwapping,
        MeasureTomography,
        MeasureVisibility,
        ReferencePolarization,
        ScanBsmWindow,
        ScanHomDelay,
        Wait,
    )
}
"""Every kind of step by its name in a plan."""


def result_names(plan: Iterable[PlanStep]) -> list[str]:
    """The names in the results of a run of all quantities that its steps add."""
    names: list[str] = []
    parts = (part for step in plan for part in step.parts)
    for step in {(step.kind, step.label): step for step in parts}.values():
        for quantity in step.results:
            names.append(result_name(step.kind, step.label, quantity, names))
    return names


def result_name(kind: str, label: str | None, quantity: str, taken: Collection[str]) -> str:
    """What a quantity of a step is called in the results: `chsh_s`, or `LABEL.chsh_s` of a step with a label;
    with the step's kind before it when a step of another kind, earlier on the plan, has taken that name."""
    name = f"{label}.{quantity}" if label else quantity
    return f"{kind}.{name}" if name in taken else name
