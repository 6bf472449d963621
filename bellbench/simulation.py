"""From a testbed file to the simulated bench that it describes."""

import click

from bellbench.layout import happenings_of, layout_of
from experiments.config.simulation import SimulatedFaults, Simulation
from experiments.config.testbed import Testbed
from sim_instruments import catalog as simulators
from sim_instruments.bench import Bench
from sim_instruments.instrument import Placed
from sim_instruments.wire.faults import Faults


def bench_of(testbed: Testbed, seed: int) -> Bench:
    """The bench of a testbed whose instruments all stand at address `sim`.

    Raises click.UsageError for an instrument that cannot be simulated, and for light that the light field
    cannot follow.
    """
    truth = testbed.simulation
    if truth is None:
        raise click.UsageError(f"testbed {testbed.testbed} has no simulation section")
    for name, entry in testbed.instruments.items():
        if entry.model not in simulators.models():
            raise click.UsageError(
                f"{name}: model {entry.model} has no simulator on the bench (there are "
                f"{', '.join(simulators.models())}); give it the address of a real one"
            )
    placed = [
        Placed(name, entry.model, entry.settings.model_dump() | _tagger(name, truth))
        for name, entry in testbed.instruments.items()
    ]
    try:
        bench = Bench(layout_of(testbed, truth), placed, seed, happenings_of(testbed, truth))
    except ValueError as error:
        raise click.UsageError(f"testbed {testbed.testbed} cannot be simulated: {error}") from error
    for name, faults in truth.faults.items():
        _inflict(bench.instruments[name].faults, faults)
    return bench


def _inflict(wire: Faults, faults: SimulatedFaults) -> None:
    wire.silent, wire.refuse = faults.silent, faults.refuse
    wire.latency_s, wire.jitter_s, wire.piece_bytes = faults.latency, faults.jitter, faults.piece_bytes
    wire.lost, wire.garbled, wire.late = faults.lost, faults.garbled, faults.late
    wire.unsolicited, wire.own_errors = faults.unsolicited.encode(), faults.own_errors


def _tagger(name: str, truth: Simulation) -> dict[str, float]:
    """What a simulated tagger needs to know of itself."""
    if name not in truth.taggers:
        return {}
    tagger = truth.taggers[name]
    return {"start_latency": tagger.start_latency, "resolution_ps": round(tagger.resolution * 1e12)}
