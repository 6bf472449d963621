"""A moment of every kind of light, so that all kernels of the light field are compiled before a run."""

from collections.abc import Iterator

from sim_instruments.ports import LaserPort, Ports, TaggerInput, TaggerPort
from sim_instruments.world.layout import (
    Beam,
    BellStateMeasurement,
    Biphoton,
    Clock,
    Detector,
    Emitter,
    Layout,
    PairSource,
    Pulses,
    Tagger,
)
from sim_instruments.world.light_field import LightField
from sim_instruments.world.polarization import werner_state

H = 1.0 + 0j, 0j
PORTS = "abcd"
HUBS = "first", "second", "twins", "emitters"
SPAN_PS = 1_000_000_000


def rehearse() -> None:
    """Takes a second, and, where nothing is compiled yet, a minute."""
    lasers = {"laser": LaserPort(1e-12)}
    taggers = {
        name: TaggerPort({k: TaggerInput() for k in range(1, len(HUBS) * len(PORTS) + 5)}, recording=True)
        for name in ("tagger", "poor")
    }
    light = LightField(_layout(), Ports(lasers=lasers, taggers=taggers), seed=1)
    try:
        for _ in range(2):
            light.tune()
            light.settle(SPAN_PS, light.expose(SPAN_PS))
    finally:
        light.close()


def _layout() -> Layout:
    hubs = tuple(
        BellStateMeasurement(hub, tuple(f"{hub}_{port}" for port in PORTS), extinction=0.01)  # type: ignore[arg-type]
        for hub in HUBS
    )
    names = [port for hub in hubs for port in hub.outputs]
    return Layout(
        lights=tuple(_lights()),
        detectors=(
            *(Detector(name, "tagger", k, 0.9, 1e5, 1e-11, 1e-8) for k, name in enumerate(names, 1)),
            Detector("one", "poor", 1, 0.5, 1e5, 1e-11, 1e-8, jitter_tail=0.1, jitter_tail_s=1e-10),
            Detector("two", "poor", 2, 0.9, 1e5, 1e-11, 1e-8, afterpulsing=0.1, afterpulse_time_s=1e-8),
        ),
        taggers=(
            Tagger("tagger", Clock("clock", 0.0)),
            Tagger("poor", Clock("other", 1e-6), noise_counts_hz=1e5, dead_time_s=1e-7),
        ),
        measurements=hubs,
    )


def _lights() -> Iterator[PairSource | Beam | Emitter]:
    bare = Biphoton("two_sided_exponential", 1e-9)
    train = Pulses(1e-8, 1e-10)
    for name, signal, idler, pulses in (
        ("couple", "one", "two", None),
        ("pulsed", "one", "two", train),
        ("arm", "one", "first.a", train),
        ("link", "first.b", "second.a", train),
        ("steady", "one", "second.b", None),
        ("twin", "twins.a", "twins.b", None),
    ):
        yield PairSource(
            name, "laser", 1e-12, 1e7, werner_state(0.9), bare, (signal,), (idler,), pulses=pulses
        )
    yield Beam("beam", "laser", 1e-6, H, ("emitters.a",), pulses=train, linewidth_hz=1e6)
    yield Emitter("triggered", 1e-9, H, ("emitters.b",), pulses=train)
    yield Emitter("continuous", 1e-9, H, ("one",), pump_time_s=1e-9)
