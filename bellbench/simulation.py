"""From a testbed file to the simulated bench that it describes."""

import click

from drivers import catalog
from drivers.capabilities import PolarizationController
from experiments.config.testbed import Simulation, Testbed
from sim_instruments import catalog as simulators
from sim_instruments.bench import Bench
from sim_instruments.instrument import Placed
from sim_instruments.world import layout as light


def bench_of(testbed: Testbed, seed: int) -> Bench:
    """The bench of a testbed whose instruments all stand at address `sim`.

    Raises click.UsageError for an instrument that cannot be simulated.
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
    return Bench(layout_of(testbed, truth), placed, seed)


def _tagger(name: str, truth: Simulation) -> dict[str, float]:
    """What a simulated tagger needs to know of itself."""
    if name not in truth.taggers:
        return {}
    tagger = truth.taggers[name]
    return {"start_latency": tagger.start_latency, "resolution_ps": round(tagger.resolution * 1e12)}


def layout_of(testbed: Testbed, truth: Simulation) -> light.Layout:
    """Bring together what a testbed says of each thing and what only a simulation knows of it."""
    return light.Layout(
        sources=tuple(_source(name, testbed, truth) for name in testbed.sources),
        fibres=tuple(_fibre(name, testbed, truth) for name in testbed.fibres),
        paddles=tuple(
            name
            for name, entry in testbed.instruments.items()
            if issubclass(catalog.find(entry.model), PolarizationController)
        ),
        analysers=tuple(
            light.Analyser(
                name,
                qwp=analyser.qwp,
                hwp=analyser.hwp,
                transmission=truth.analysers[name].transmission,
                outputs=(analyser.outputs.H, analyser.outputs.V),
            )
            for name, analyser in testbed.analysers.items()
        ),
        measurements=tuple(
            light.BellStateMeasurement(
                name,
                transmission=truth.bell_state_measurements[name].transmission,
                outputs=(bsm.outputs.cH, bsm.outputs.cV, bsm.outputs.dH, bsm.outputs.dV),
                idler_overlap=truth.bell_state_measurements[name].idler_overlap,
            )
            for name, bsm in testbed.bell_state_measurements.items()
        ),
        detectors=tuple(_detector(name, testbed, truth) for name in testbed.detectors),
        taggers=tuple(
            light.Tagger(name, tagger.frequency_error, tagger.noise_counts, round(tagger.resolution * 1e12))
            for name, tagger in truth.taggers.items()
        ),
        taps=tuple(
            light.Tap(tap.light, tap.meter, tap.fraction, _wavelength(tap.light, testbed, truth))
            for tap in testbed.taps.values()
        ),
    )


def _source(name: str, testbed: Testbed, truth: Simulation) -> light.Source:
    source, hidden = testbed.sources[name], truth.sources[name]
    return light.Source(
        name,
        pump=source.pump,
        pump_power_w=hidden.pump_power,
        pump_wavelength_m=hidden.pump_wavelength,
        pair_rate_hz=hidden.pair_rate,
        fidelity=hidden.fidelity,
        biphoton=light.Biphoton(hidden.biphoton.shape, hidden.biphoton.tau_signal, hidden.biphoton.tau_idler),
        signal_transmission=hidden.signal_transmission,
        idler_transmission=hidden.idler_transmission,
        unpaired_signal_hz=hidden.unpaired_signal_counts,
        unpaired_idler_hz=hidden.unpaired_idler_counts,
        signal_path=source.signal,
        idler_path=source.idler,
    )


def _fibre(name: str, testbed: Testbed, truth: Simulation) -> light.Fibre:
    hidden = truth.fibres[name]
    return light.Fibre(
        name,
        loss_db=hidden.attenuation * testbed.fibres[name].length / 1e3 + hidden.insertion_loss,
        delay_s=hidden.delay,
        polarization_diffusion=hidden.polarization_diffusion,
        delay_per_kelvin_s=hidden.delay_per_kelvin,
        temperature_swing_k=hidden.temperature_swing,
    )


def _detector(name: str, testbed: Testbed, truth: Simulation) -> light.Detector:
    detector, hidden = testbed.detectors[name], truth.detectors[name]
    return light.Detector(
        name,
        tagger=detector.tagger.instrument,
        input=detector.tagger.number,
        efficiency=hidden.efficiency,
        dark_counts_hz=hidden.dark_counts,
        jitter_s=hidden.jitter,
        dead_time_s=hidden.dead_time,
        afterpulsing=hidden.afterpulsing,
        afterpulse_time_s=hidden.afterpulse_time or 0.0,
        nanowire=(detector.instrument.instrument, detector.instrument.number)
        if detector.instrument
        else None,
        operating_bias_a=hidden.operating_bias or 0.0,
        switching_current_a=hidden.switching_current or 0.0,
    )


def _wavelength(laser: str, testbed: Testbed, truth: Simulation) -> float:
    """The wavelength of a laser is known through the source that it pumps."""
    return next(
        truth.sources[name].pump_wavelength
        for name, source in testbed.sources.items()
        if source.pump == laser
    )
