"""From a testbed file to the layout of the light field: what the file says of each thing, and what only its
simulation knows, brought together as plain data."""

from collections.abc import Iterator
from math import inf
from typing import Any

from drivers.capabilities import Attenuator, DelayLine, Laser, PolarizationController, Shutter
from experiments.config.happenings import SimulatedHappening
from experiments.config.inventory import driver_of
from experiments.config.simulation import (
    SimulatedBeam,
    SimulatedController,
    SimulatedDelayLine,
    SimulatedShutter,
    SimulatedSplitter,
    SimulatedSwitch,
    SimulatedWavePlate,
    Simulation,
)
from experiments.config.testbed import Testbed
from sim_instruments import happenings
from sim_instruments.world import layout as light


def layout_of(testbed: Testbed, truth: Simulation) -> light.Layout:
    """The bench that a testbed file without errors describes."""
    return light.Layout(
        lights=(
            *(_source(name, testbed, truth) for name in testbed.sources),
            *(_emitter(name, testbed, truth) for name in testbed.emitters),
            *(_beam(name, testbed, truth) for name in testbed.beams),
        ),
        detectors=tuple(_detector(name, testbed, truth) for name in testbed.detectors),
        taggers=tuple(_taggers(testbed, truth)),
        fibres=tuple(_fibre(name, testbed, truth) for name in testbed.fibres),
        controllers=tuple(_controller(name, truth) for name in _all_of(testbed, PolarizationController)),
        plates=tuple(_plate(name, testbed, truth) for name in testbed.wave_plates),
        attenuators=tuple(light.Attenuator(name) for name in _all_of(testbed, Attenuator)),
        shutters=tuple(_shutter(name, truth) for name in _all_of(testbed, Shutter)),
        delay_lines=tuple(
            light.DelayLine(name, truth.delay_lines.get(name, SimulatedDelayLine()).insertion_loss)
            for name in _all_of(testbed, DelayLine)
        ),
        filters=tuple(_filter(name, testbed, truth) for name in testbed.filters),
        splitters=tuple(_splitter(name, testbed, truth) for name in testbed.splitters),
        switches=tuple(_switch(name, testbed, truth) for name in testbed.switches),
        analysers=tuple(_analyser(name, testbed, truth) for name in testbed.analysers),
        measurements=tuple(_measurement(name, testbed, truth) for name in testbed.bell_state_measurements),
        sensors=tuple(
            light.Sensor(name, sensor.noise_equivalent_power, sensor.bandwidth)
            for name, sensor in truth.sensors.items()
        ),
    )


def happenings_of(testbed: Testbed, truth: Simulation) -> tuple[happenings.Happening, ...]:
    """What shall go wrong on that bench."""
    return tuple(_happening(each, testbed) for each in truth.happenings)


def _happening(what: SimulatedHappening, testbed: Testbed) -> happenings.Happening:
    thing, for_s = what.thing, inf if what.for_s is None else what.for_s
    match what.verb:
        case "jump":
            return happenings.Jump(what.at, thing, 0.4 if what.angle is None else what.angle)
        case "shake":
            diffusion = 10.0 if what.diffusion is None else what.diffusion
            return happenings.Shake(what.at, thing, diffusion, for_s=for_s)
        case "move_delay":
            return happenings.MoveDelay(what.at, thing, what.by or 0.0)
        case "power_cycle":
            return happenings.PowerCycle(what.at, thing, for_s=for_s)
        case "latch":
            assert what.latch is not None
            return happenings.Latch(what.at, what.latch.instrument, what.latch.number)
        case "distinguishable":
            return happenings.Distinguishable(what.at, thing, what.overlap or 0.0, for_s=for_s)
        case _ if thing in testbed.clocks:
            clock = testbed.clocks[thing]
            monitors = (clock.monitor,) if clock.monitor else ()
            return happenings.UnlockClock(what.at, clock.taggers, monitors, for_s=for_s)
        case _ if issubclass(driver_of(testbed.instruments[thing].model), Laser):
            return happenings.UnlockLaser(what.at, thing, 0.05 if what.left is None else what.left)
        case _:
            return happenings.UnlockClock(what.at, (thing,), for_s=for_s)


def _all_of(testbed: Testbed, capability: type[Any]) -> Iterator[str]:
    """The names of the instruments that have a capability."""
    for name, entry in testbed.instruments.items():
        if issubclass(driver_of(entry.model), capability):
            yield name


def _pulses(rate_hz: float | None, width_s: float | None) -> light.Pulses | None:
    return None if rate_hz is None else light.Pulses(1 / rate_hz, width_s or 0.0)


def _given(**numbers: Any) -> dict[str, Any]:
    """Those that are; for the others the light field has its own."""
    return {name: number for name, number in numbers.items() if number is not None}


def _wrong_way(extinction_db: float | None) -> float:
    """The probability that light goes the wrong way."""
    return 0.0 if extinction_db is None else float(10 ** (-extinction_db / 10))


def _source(name: str, testbed: Testbed, truth: Simulation) -> light.PairSource:
    source, hidden = testbed.sources[name], truth.sources[name]
    return light.PairSource(
        name,
        pump=source.pump,
        pump_power_w=hidden.pump_power,
        pair_rate_hz=hidden.pair_rate,
        state=hidden.state.density_matrix,
        biphoton=light.Biphoton(hidden.biphoton.shape, hidden.biphoton.tau_signal, hidden.biphoton.tau_idler),
        signal_path=source.signal,
        idler_path=source.idler,
        signal_transmission=hidden.signal_transmission,
        idler_transmission=hidden.idler_transmission,
        unpaired_signal_hz=hidden.unpaired_signal_rate,
        unpaired_idler_hz=hidden.unpaired_idler_rate,
        pulses=_pulses(source.repetition_rate, hidden.pulse_width),
        modes=hidden.number_of_modes,
        signal_wavelength_m=source.signal_wavelength,
        idler_wavelength_m=source.idler_wavelength,
        carrier_offset_hz=hidden.carrier_offset,
        detuning_per_pump_hz=hidden.detuning_per_pump,
    )


def _beam(name: str, testbed: Testbed, truth: Simulation) -> light.Beam:
    beam, hidden = testbed.beams[name], truth.beams.get(name, SimulatedBeam())
    return light.Beam(
        name,
        laser=beam.laser,
        wavelength_m=beam.wavelength,
        polarization=beam.polarization.jones,
        path=beam.path,
        fraction=beam.fraction,
        pulses=_pulses(beam.repetition_rate, hidden.pulse_width),
        linewidth_hz=hidden.linewidth,
    )


def _emitter(name: str, testbed: Testbed, truth: Simulation) -> light.Emitter:
    emitter, hidden = testbed.emitters[name], truth.emitters[name]
    return light.Emitter(
        name,
        lifetime_s=hidden.lifetime,
        polarization=emitter.polarization.jones,
        path=emitter.path,
        transmission=hidden.transmission,
        pulses=_pulses(emitter.repetition_rate, hidden.pulse_width),
        brightness=1.0 if hidden.brightness is None else hidden.brightness,
        g2=hidden.g2,
        pump_time_s=hidden.pump_time or 0.0,
        background_hz=hidden.background_rate,
        wavelength_m=emitter.wavelength,
        carrier_offset_hz=hidden.carrier_offset,
        laser=emitter.laser,
        laser_power_w=hidden.laser_power or inf,
    )


def _fibre(name: str, testbed: Testbed, truth: Simulation) -> light.Fibre:
    fibre, hidden = testbed.fibres[name], truth.fibres[name]
    channel = hidden.classical_channel
    return light.Fibre(
        name,
        length_m=fibre.length,
        loss_db=hidden.attenuation * fibre.length / 1e3 + hidden.insertion_loss,
        delay_s=hidden.delay,
        polarization_diffusion=hidden.polarization_diffusion,
        jump_rate_hz=hidden.jump_rate,
        jump_angle_rad=hidden.jump_angle,
        scrambled=hidden.scrambled,
        pdl_db=hidden.polarization_dependent_loss,
        pmd_s=hidden.differential_group_delay,
        dispersion_s_per_m2=hidden.dispersion,
        wavelength_m=hidden.reference_wavelength,
        delay_per_kelvin_s=hidden.delay_per_kelvin,
        temperature_swing_k=hidden.temperature_swing,
        temperature_noise_k=hidden.temperature_noise,
        temperature_correlation_s=hidden.temperature_correlation,
        classical=None
        if channel is None
        else light.ClassicalChannel(
            channel.power,
            channel.wavelength,
            channel.raman_efficiency,
            channel.filter_bandwidth,
            channel.direction,
            channel.laser,
            channel.laser_power,
        ),
    )


def _controller(name: str, truth: Simulation) -> light.Controller:
    hidden = truth.controllers.get(name, SimulatedController())
    return light.Controller(name, hidden.transmission, hidden.retardance_errors, hidden.axis_errors)


def _plate(name: str, testbed: Testbed, truth: Simulation) -> light.Plate:
    plate, hidden = testbed.wave_plates[name], truth.wave_plates.get(name, SimulatedWavePlate())
    return light.Plate(
        name, plate.mount, plate.kind, hidden.zero, hidden.retardance_error, hidden.transmission
    )


def _shutter(name: str, truth: Simulation) -> light.Shutter:
    hidden = truth.shutters.get(name, SimulatedShutter())
    return light.Shutter(name, hidden.insertion_loss, hidden.extinction)


def _filter(name: str, testbed: Testbed, truth: Simulation) -> light.Filter:
    hidden = truth.filters[name]
    return light.Filter(
        name,
        shape=hidden.shape,
        bandwidth_hz=hidden.bandwidth,
        peak_transmission=hidden.peak_transmission,
        centre_offset_hz=hidden.centre_offset,
        hz_per_kelvin=hidden.tuning,
        reference_k=hidden.reference_temperature,
        heater=testbed.filters[name].heater,
    )


def _splitter(name: str, testbed: Testbed, truth: Simulation) -> light.Splitter:
    splitter, hidden = testbed.splitters[name], truth.splitters.get(name, SimulatedSplitter())
    return light.Splitter(
        name,
        kind=splitter.kind,
        transmitted=splitter.transmitted,
        reflected=splitter.reflected,
        reflectivity=hidden.reflectivity,
        extinction=_wrong_way(hidden.extinction),
        transmission=hidden.transmission,
    )


def _switch(name: str, testbed: Testbed, truth: Simulation) -> light.Switch:
    hidden = truth.switches.get(name, SimulatedSwitch())
    return light.Switch(name, testbed.switches[name].outputs, hidden.insertion_loss, hidden.crosstalk)


def _analyser(name: str, testbed: Testbed, truth: Simulation) -> light.Analyser:
    analyser, hidden = testbed.analysers[name], truth.analysers[name]
    return light.Analyser(
        name,
        qwp=analyser.qwp,
        hwp=analyser.hwp,
        outputs=(analyser.outputs.H, analyser.outputs.V),
        transmission=hidden.transmission,
        extinction=_wrong_way(hidden.extinction),
        qwp_zero_rad=hidden.qwp_zero,
        hwp_zero_rad=hidden.hwp_zero,
        qwp_error_rad=hidden.qwp_error,
        hwp_error_rad=hidden.hwp_error,
    )


def _measurement(name: str, testbed: Testbed, truth: Simulation) -> light.BellStateMeasurement:
    outputs = testbed.bell_state_measurements[name].outputs
    hidden = truth.bell_state_measurements[name]
    return light.BellStateMeasurement(
        name,
        outputs=(outputs.cH, outputs.cV, outputs.dH, outputs.dV),
        transmission=hidden.transmission,
        mode_overlap=hidden.mode_overlap,
        reflectivity=hidden.reflectivity,
        extinction=_wrong_way(hidden.extinction),
    )


def _detector(name: str, testbed: Testbed, truth: Simulation) -> light.Detector:
    detector, hidden = testbed.detectors[name], truth.detectors[name]
    gate = None
    if hidden.gate is not None:
        gate = light.Gate(hidden.gate.period, hidden.gate.width, hidden.gate.phase)
    elif detector.gate is not None:
        # Period and width are the generator's to say.
        gate = light.Gate(0.0, 0.0, generator=(detector.gate.instrument, detector.gate.number))
    return light.Detector(
        name,
        tagger=detector.tagger.instrument,
        input=detector.tagger.number,
        efficiency=hidden.efficiency,
        dark_counts_hz=hidden.dark_counts,
        jitter_s=hidden.jitter,
        dead_time_s=hidden.dead_time,
        kind=hidden.kind,
        jitter_tail=hidden.jitter_tail,
        jitter_tail_s=hidden.jitter_tail_time or 0.0,
        afterpulsing=hidden.afterpulsing,
        afterpulse_time_s=hidden.afterpulse_time or 0.0,
        control=(detector.instrument.instrument, detector.instrument.number) if detector.instrument else None,
        operating_bias_a=hidden.operating_bias or 0.0,
        switching_current_a=hidden.switching_current or 0.0,
        operating_excess_v=hidden.operating_excess_voltage or 0.0,
        **_given(operating_temperature_k=hidden.operating_temperature),
        max_rate_hz=hidden.max_rate or inf,
        ambient_hz=hidden.ambient_counts,
        gate=gate,
    )


def _taggers(testbed: Testbed, truth: Simulation) -> Iterator[light.Tagger]:
    clocks = {
        tagger: light.Clock(name, hidden.frequency_error, hidden.phase_walk, hidden.frequency_walk)
        for name, hidden in truth.clocks.items()
        for tagger in testbed.clocks[name].taggers
    }
    for name, hidden in truth.taggers.items():
        own = light.Clock(
            f"clock of {name}",
            hidden.frequency_error or 0.0,
            hidden.phase_walk or 0.0,
            hidden.frequency_walk or 0.0,
        )
        yield light.Tagger(
            name,
            clocks.get(name, own),
            noise_counts_hz=hidden.noise_counts,
            resolution_ps=round(hidden.resolution * 1e12),
            dead_time_s=hidden.dead_time,
            max_rate_hz=hidden.max_rate or inf,
            **_given(buffer_tags=hidden.buffer),
        )
