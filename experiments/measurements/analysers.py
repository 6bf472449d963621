"""Which way to turn the wave plates of a polarization analyser for which measurement.

An analyser is a quarter-wave plate (QWP), a half-wave plate (HWP) and a polarizing beam splitter, in beam
order; its output H clicks for the polarization named here, V for the orthogonal one. Angles are those of
the plates' fast axes from H, in radians.
"""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi

from drivers.capabilities import RotationMount
from experiments.engine.bench import Bench
from experiments.estimators.bell import CHSH_ANGLES

OPTICS = "optics of {}"
"""The calibration that says how an analyser differs from the ideal one while its mounts stand at
`mount_angles`, an `AnalyserOptics`."""


@dataclass(frozen=True)
class Analysis:
    """A projective measurement of polarization: its name and the wave-plate angles that make it."""

    name: str
    qwp_rad: float
    hwp_rad: float


def linear(angle_deg: float) -> Analysis:
    """Linear polarization at `angle_deg` from H: QWP along the polarization, which leaves it linear, then
    the HWP at half the angle turns it to H (`physics.md` 3, pitfall 3: QWP first)."""
    angle = angle_deg * pi / 180
    return Analysis(f"{angle_deg:g} deg", qwp_rad=angle, hwp_rad=angle / 2)


def circular() -> Analysis:
    """Circular polarization: the QWP at 45 deg turns the two circular ones into H and V, the HWP at 0 leaves
    them. Which handedness goes to H depends on sign conventions; it is the same for both analysers, so the
    correlation of two does not depend on it."""
    return Analysis("circular", qwp_rad=pi / 4, hwp_rad=0.0)


@dataclass(frozen=True)
class Setting:
    """How two analysers stand, and a name for it."""

    name: str
    analyses: tuple[Analysis, Analysis]

    def angles(self, bench: Bench, analysers: tuple[str, str]) -> dict[RotationMount, float]:
        """Where the mount of each wave plate of these analysers has to stand, in radians."""
        angles: dict[RotationMount, float] = {}
        for name, analysis in zip(analysers, self.analyses, strict=True):
            angles |= mount_angles(bench, name, analysis)
        return angles


def mount_angles(bench: Bench, analyser: str, analysis: Analysis) -> dict[RotationMount, float]:
    """Where the mounts of an analyser have to stand, in radians, so that the fast axes of its plates are
    where the analysis wants them: less by the plates' zeros, as far as these are calibrated."""
    stands = bench.testbed.analysers[analyser]
    wanted = {stands.qwp: analysis.qwp_rad, stands.hwp: analysis.hwp_rad}
    return {
        bench.get(name, RotationMount): angle - bench.zeros_rad.get(name, 0.0)
        for name, angle in wanted.items()
    }


ZZ_XX_YY: Mapping[str, Setting] = {
    "ZZ": Setting("ZZ", (linear(0), linear(0))),
    "XX": Setting("XX", (linear(45), linear(45))),
    "YY": Setting("YY", (circular(), circular())),
}
CHSH = tuple(Setting(name, (linear(a), linear(b))) for name, (a, b) in CHSH_ANGLES.items())
"""The four settings of a CHSH measurement (`physics.md` 5, "CHSH bookkeeping")."""
