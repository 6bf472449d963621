"""How many clicks each detector of a simulated bench will give, from the configuration alone.

First order, as in physics.md 5 "Hand formulas": losses multiply, a detector's dead time lowers a rate r to
r / (1 + r d), afterpulses add their probability. Light is unpolarised: half of it takes either output of a
polarizing beam splitter. What an experiment sets only while it runs is taken so: shutters are open, an
attenuator is at its greatest attenuation, a switch leads each input to the output of the same number. Raman
noise is not counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import exp, log

from drivers.capabilities import Attenuator
from experiments.config.inventory import construct
from experiments.config.lightpaths import Stage, outputs_of, stages
from experiments.config.simulation import (
    SimulatedController,
    SimulatedDelayLine,
    SimulatedDetector,
    SimulatedEmitter,
    SimulatedFilter,
    SimulatedShutter,
    SimulatedSplitter,
    SimulatedSwitch,
    SimulatedWavePlate,
    Simulation,
)
from experiments.config.testbed import Testbed

_JOULE_METRES = 6.62607015e-34 * 299792458.0
"""h c, exact in SI: the energy of a photon times its wavelength."""


def click_rates(testbed: Testbed, truth: Simulation, power_w: Mapping[str, float]) -> dict[str, float]:
    """Clicks per second of each detector, with lasers at these powers in watts; others are dark."""
    light = dict.fromkeys(testbed.detectors, 0.0)
    for photons_hz, path in _lights(testbed, truth, power_w):
        for detector, share in _arriving(testbed, truth, path):
            light[detector] += photons_hz * share * truth.detectors[detector].efficiency
    return {name: _clicks(rate, truth.detectors[name]) for name, rate in light.items()}


def _lights(
    testbed: Testbed, truth: Simulation, power_w: Mapping[str, float]
) -> Iterator[tuple[float, Sequence[str]]]:
    """Photons per second that set out on each light path."""
    for name, source in testbed.sources.items():
        emitted = truth.sources[name]
        scale = power_w.get(source.pump, 0.0) / emitted.pump_power
        signal_hz = emitted.pair_rate + emitted.unpaired_signal_rate
        idler_hz = emitted.pair_rate + emitted.unpaired_idler_rate
        yield scale * signal_hz * emitted.signal_transmission, source.signal
        yield scale * idler_hz * emitted.idler_transmission, source.idler
    for name, emitter in testbed.emitters.items():
        lit = truth.emitters[name]
        scale = power_w.get(emitter.laser, 0.0) / (lit.laser_power or 1.0) if emitter.laser else 1.0
        excited_hz = _emitted(lit, emitter.repetition_rate, scale) if scale > 0 else 0.0
        yield excited_hz * lit.transmission + lit.background_rate, emitter.path
    for beam in testbed.beams.values():
        power = power_w.get(beam.laser, 0.0) * beam.fraction
        yield power * beam.wavelength / _JOULE_METRES, beam.path


def _emitted(emitter: SimulatedEmitter, repetition_rate: float | None, scale: float) -> float:
    """Photons per second that an emitter gives off; its second photons are few, and left out."""
    if repetition_rate is not None:
        return repetition_rate * min((emitter.brightness or 0.0) * scale, 1.0)
    return 1.0 / ((emitter.pump_time or 0.0) / scale + emitter.lifetime)


def _arriving(
    testbed: Testbed, truth: Simulation, path: Sequence[str], behind: frozenset[Stage] = frozenset()
) -> Iterator[tuple[str, float]]:
    """Which share of the light on a path arrives at which detector. Light that comes round to where it was
    is not followed further."""
    share = 1.0
    for stage in stages(testbed, path):
        if stage.is_end:
            for detector, part in _behind(testbed, truth, stage):
                yield detector, share * part
        elif not stage.is_branching:
            share *= _transmission(testbed, truth, stage)
        elif stage not in behind:
            for output, stretch in outputs_of(testbed, stage).items():
                part = share * _divided(testbed, truth, stage, output)
                if part > 0.0:
                    for detector, rest in _arriving(testbed, truth, stretch.words, behind | {stage}):
                        yield detector, part * rest


def _transmission(testbed: Testbed, truth: Simulation, stage: Stage) -> float:
    """The share of light that passes a stage."""
    name = stage.name
    match stage.kind:
        case "fibre":
            fibre = truth.fibres[name]
            return _share(fibre.attenuation * testbed.fibres[name].length / 1e3 + fibre.insertion_loss)
        case "polarization_controller":
            return truth.controllers.get(name, SimulatedController()).transmission
        case "wave_plate":
            return truth.wave_plates.get(name, SimulatedWavePlate()).transmission
        case "filter":
            return _line(truth.filters[name])
        case "attenuator":
            attenuator = construct(name, testbed.instruments[name])
            return _share(attenuator.attenuation_limits.high) if isinstance(attenuator, Attenuator) else 1.0
        case "shutter":
            return _share(truth.shutters.get(name, SimulatedShutter()).insertion_loss)
        case "delay_line":
            return _share(truth.delay_lines.get(name, SimulatedDelayLine()).insertion_loss)
        case _:
            return 1.0


def _divided(testbed: Testbed, truth: Simulation, stage: Stage, output: str) -> float:
    """The share of light that leaves a splitter or a switch by an output."""
    if stage.kind == "switch":
        switch = truth.switches.get(stage.name, SimulatedSwitch())
        return _share(switch.insertion_loss) if output == stage.input else 0.0
    splitter = truth.splitters.get(stage.name, SimulatedSplitter())
    reflected = splitter.reflectivity if testbed.splitters[stage.name].kind == "plain" else 0.5
    return splitter.transmission * (reflected if output == "reflected" else 1 - reflected)


def _behind(testbed: Testbed, truth: Simulation, end: Stage) -> Iterator[tuple[str, float]]:
    """The detectors at the end of a path, and the share of its light for each."""
    match end.kind:
        case "detector":
            yield end.name, 1.0
        case "analyser":
            for _, detector in testbed.analysers[end.name].outputs:
                yield detector, truth.analysers[end.name].transmission / 2
        case "bell_state_measurement":
            measurement = truth.bell_state_measurements[end.name]
            straight = {"a": "c", "b": "d"}[end.input]
            for output, detector in testbed.bell_state_measurements[end.name].outputs:
                crossed = output[0] != straight
                share = measurement.reflectivity if crossed else 1 - measurement.reflectivity
                yield detector, measurement.transmission * share / 2


def _line(filter_: SimulatedFilter) -> float:
    """Transmission of a filter for light at its nominal frequency, at the reference temperature."""
    detuning = 2 * filter_.centre_offset / filter_.bandwidth
    if filter_.shape == "lorentzian":
        return filter_.peak_transmission / (1 + detuning**2)
    return filter_.peak_transmission * exp(-log(2) * detuning**2)


def _share(loss_db: float) -> float:
    return float(10 ** (-loss_db / 10))


def _clicks(light_hz: float, detector: SimulatedDetector) -> float:
    rate = light_hz + detector.dark_counts + detector.ambient_counts
    if detector.gate is not None:
        rate *= detector.gate.width / detector.gate.period
    return rate / (1 + rate * detector.dead_time) * (1 + detector.afterpulsing)
