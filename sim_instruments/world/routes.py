"""Where the photons of a source go: one to an analyser and the other to a hub, or both to analysers.

A route works out what the present settings make of its source (`tune`), and draws a slice of its photons
(`emit`). What surely cannot interfere or correlate is left to the channels as a rate of noise.
"""

from collections.abc import Mapping

from sim_instruments.world.arm import Arm, Statistics
from sim_instruments.world.channel import Channel
from sim_instruments.world.couple import Coincidences, Couple
from sim_instruments.world.hub import Hub
from sim_instruments.world.layout import Analyser
from sim_instruments.world.optics import Optics
from sim_instruments.world.pairs import Floats

Photons = dict[str, Floats]
"""Times of arrival at detectors by their names, in picoseconds of the slice; nearly sorted."""


class ToHub:
    """The signal goes to an analyser, the idler to an input of a Bell-state measurement."""

    def __init__(
        self, arm: Arm, analyser: Analyser, hub: Hub, side: int, channels: Mapping[str, Channel]
    ) -> None:
        self.arm, self._analyser, self._hub, self._side = arm, analyser, hub, side
        self._outputs = [channels[name] for name in analyser.outputs]
        self._statistics: Statistics
        self._signal_delay_ps = 0.0
        hub.arms[side] = arm

    def tune(self, pump: float, optics: Optics) -> None:
        """`pump` is the pump power relative to the one for which the source's rates are stated."""
        source, hub = self.arm.source, self._hub
        signal_path, idler_path = source.signal_path[:-1], source.idler_path[:-1]
        povm = optics.clicks(
            self._analyser,
            signal_path,
            source.signal_transmission,
            (self._outputs[0].efficiency, self._outputs[1].efficiency),
        )
        ports = hub.entrance(self._side, source.idler_transmission, optics.jones(idler_path))
        self._signal_delay_ps = optics.delay_ps(signal_path)
        hub.delays[self._side] = optics.delay_ps(idler_path)
        rate_hz = source.pair_rate_hz * pump
        statistics = Statistics.of(rate_hz * 1e-12, self.arm.shape, self.arm.rho, povm, ports)
        self._statistics = statistics
        for port, channel in enumerate(self._outputs):
            unpaired = source.unpaired_signal_hz / 2 * pump * channel.relative_efficiency
            channel.shine(
                noise_hz=statistics.lone_signals[port] * 1e12 + unpaired,
                clicks_hz=statistics.signal_rates[port] * 1e12 + unpaired,
            )
        hub.shine(self._side, statistics.conditional, rate_hz, source.unpaired_idler_hz * pump)

    def emit(self, span_ps: float) -> Photons:
        """The signals that click; the idlers are left with the hub."""
        born = self.arm.emit(self._statistics, span_ps)
        self._hub.arriving[self._side] = born
        for signals in born.signals:
            signals += self._signal_delay_ps
        return dict(zip(self._analyser.outputs, born.signals, strict=True))


class ToAnalysers:
    """Both photons go to analysers."""

    def __init__(
        self, couple: Couple, analysers: tuple[Analyser, Analyser], channels: Mapping[str, Channel]
    ) -> None:
        self._couple, self._analysers = couple, analysers
        self._outputs = [[channels[name] for name in analyser.outputs] for analyser in analysers]
        self._coincidences: Coincidences
        self._delays_ps = (0.0, 0.0)

    def tune(self, pump: float, optics: Optics) -> None:
        """`pump` is the pump power relative to the one for which the source's rates are stated."""
        source = self._couple.source
        paths = source.signal_path[:-1], source.idler_path[:-1]
        transmissions = source.signal_transmission, source.idler_transmission
        povms = [
            optics.clicks(analyser, path, transmission, (outputs[0].efficiency, outputs[1].efficiency))
            for analyser, path, transmission, outputs in zip(
                self._analysers, paths, transmissions, self._outputs, strict=True
            )
        ]
        self._delays_ps = optics.delay_ps(paths[0]), optics.delay_ps(paths[1])
        rate = source.pair_rate_hz * pump * 1e-12
        self._coincidences = Coincidences.of(rate, self._couple.rho, povms[0], povms[1])
        unpaired_hz = source.unpaired_signal_hz, source.unpaired_idler_hz
        for side, outputs in enumerate(self._outputs):
            for port, channel in enumerate(outputs):
                unpaired = unpaired_hz[side] / 2 * pump * channel.relative_efficiency
                channel.shine(
                    noise_hz=self._coincidences.lone[side][port] * 1e12 + unpaired,
                    clicks_hz=self._coincidences.clicks[side][port] * 1e12 + unpaired,
                )

    def emit(self, span_ps: float) -> Photons:
        """All photons of which the partner clicks too."""
        photons: Photons = {}
        sides = self._couple.emit(self._coincidences, span_ps)
        for analyser, delay, ports in zip(self._analysers, self._delays_ps, sides, strict=True):
            for name, times in zip(analyser.outputs, ports, strict=True):
                times += delay
                photons[name] = times
        return photons


Route = ToHub | ToAnalysers
