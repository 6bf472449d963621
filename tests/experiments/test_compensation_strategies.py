"""Every strategy of polarization compensation from random starts on a model of the link.

The link is a random rotation, its plates have errors of 3 % that nobody knows, and every setting is measured
with 2e4 photons: the conditions of the table in physics.md 6. A strategy has to find an error below 0.01, in
at most 1,000 settings. What is expected here is that table; its settings of the scalar strategies are looks,
each of which takes two settings of two probes or bases.

Success is a matter of chance over starts: with n starts and a rate p that the long test finds (200 starts),
the bound below is missed by luck with a probability under 1e-6 (binomial tail).
"""

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from experiments.calibrations.polarization.plates import Plates
from experiments.calibrations.polarization.search import Goal, Look, search
from experiments.calibrations.polarization.strategies import STRATEGIES
from tests.experiments.scrambled_link import ACTUATORS, ScrambledLink

STOP = 0.01
MOST = 1000


@dataclass(frozen=True)
class Trials:
    """What became of searches from random starts: the settings and the true pair fidelity of those that
    succeeded."""

    starts: int
    settings: list[int]
    looks: list[int]
    fidelity: list[float]

    @property
    def success(self) -> float:
        return len(self.settings) / self.starts


def trials(strategy: str, actuator: str, starts: int) -> Trials:
    """Seeds 0 to `starts`."""
    found = Trials(starts, [], [], [])
    for seed in range(starts):
        scrambled = ScrambledLink.random(ACTUATORS[actuator], seed)
        see = scrambled.see if strategy == "stokes" else scrambled.count

        async def measure(angles: np.ndarray, see=see) -> Look:
            return see(angles)

        goal = Goal(trigger=STOP, stop=STOP, most_settings=MOST)
        rng = np.random.default_rng(seed)
        ended = asyncio.run(search(scrambled.link(), STRATEGIES[strategy], measure, goal, rng))
        if ended.reason in ("good", "compensated"):
            found.settings.append(ended.settings)
            found.looks.append(scrambled.looks)
            found.fidelity.append(scrambled.pair_fidelity(ended.angles_rad))
    return found


SHORT = [
    # strategy, actuator, starts, success, median and 95th percentile of settings
    ("stokes", "paddles", 100, 0.98, 12, 18),
    ("stokes", "wave plates", 30, 0.85, 12, 24),
    ("stokes", "squeezers", 60, 0.9, 12, 24),
    ("line", "squeezers", 40, 0.8, 52, 160),
    ("nelder_mead", "squeezers", 40, 0.85, 75, 150),
    ("gradient", "squeezers", 25, 0.7, 130, 400),
    ("line", "paddles", 15, 0.6, 150, 500),
    ("nelder_mead", "paddles", 15, 0.6, 120, 400),
]


@pytest.mark.parametrize(("strategy", "actuator", "starts", "success", "median", "p95"), SHORT)
def test_a_scrambled_link_is_compensated(
    strategy: str, actuator: str, starts: int, success: float, median: float, p95: float
) -> None:
    found = trials(strategy, actuator, starts)
    assert found.success >= success
    assert np.median(found.settings) <= median
    assert np.percentile(found.settings, 95) <= p95
    # An error of 0.01 is a probe fidelity of 0.99; the rotation that is left has then 0.98 on pairs at least,
    # less the noise of 2e4 photons. The Stokes method comes to 0.995 in the mean (physics.md: 0.9975).
    assert min(found.fidelity) > 0.97
    assert np.mean(found.fidelity) > (0.994 if strategy == "stokes" else 0.982)


LONG = [
    # strategy, actuator: success, median and 95th percentile of settings over 200 starts. The table of
    # physics.md has (in settings for stokes, in looks for the others) 12/18 100 % and 98 %; line 26/79 97 %
    # on squeezers, 64/192 92 % on paddles; Nelder-Mead 29/57 100 %, 34/401 92 %; SPSA, in whose place stands
    # our gradient, 55/221 100 %, 148/266 98 %.
    ("stokes", "paddles", 0.98, 12, 18),
    ("stokes", "wave plates", 0.98, 12, 18),
    ("stokes", "squeezers", 0.98, 12, 18),
    ("line", "paddles", 0.92, 128, 384),
    ("line", "wave plates", 0.92, 128, 384),
    ("line", "squeezers", 0.97, 52, 158),
    ("nelder_mead", "paddles", 0.92, 80, 802),
    ("nelder_mead", "wave plates", 0.92, 80, 802),
    ("nelder_mead", "squeezers", 0.98, 64, 130),
    ("gradient", "paddles", 0.85, 296, 800),
    ("gradient", "wave plates", 0.85, 296, 800),
    ("gradient", "squeezers", 0.98, 110, 442),
]


@pytest.mark.long
@pytest.mark.parametrize(("strategy", "actuator", "success", "median", "p95"), LONG)
def test_two_hundred_cold_starts(
    strategy: str, actuator: str, success: float, median: float, p95: float
) -> None:
    found = trials(strategy, actuator, 200)
    median_found, p95_found = np.percentile(found.settings, [50, 95])
    assert found.success >= success, f"{found.success} of 200 in {median_found} / {p95_found} settings"
    assert np.median(found.settings) <= median
    assert np.percentile(found.settings, 95) <= p95


async def test_a_good_link_is_left_alone() -> None:
    looks = []

    async def measure(angles: np.ndarray) -> Look:
        looks.append(angles)
        return Look(0.004, settings=6)

    link = ScrambledLink.random(ACTUATORS["paddles"], 1).link()
    stood = link.angles_rad.copy()
    found = await search(link, STRATEGIES["line"], measure, Goal(0.01, 0.005), np.random.default_rng(1))
    assert (found.reason, found.settings, found.moved) == ("good", 6, False)
    assert len(looks) == 1
    assert np.array_equal(link.angles_rad, stood)


@pytest.mark.parametrize("strategy", ["line", "gradient", "nelder_mead"])
async def test_out_of_settings_it_returns_to_the_best_place(strategy: str) -> None:
    """The best place is measured anew: what a search ends with is no lucky look."""
    scrambled = ScrambledLink.random(ACTUATORS["squeezers"], 3)
    looks: list[tuple[float, np.ndarray]] = []

    async def measure(angles: np.ndarray) -> Look:
        look = scrambled.count(angles)
        looks.append((look.error, angles))
        return look

    goal = Goal(trigger=0.0, stop=-1.0, most_settings=60)
    found = await search(scrambled.link(), STRATEGIES[strategy], measure, goal, np.random.default_rng(3))
    assert found.reason == "gave up"
    best = min(looks[:-1], key=lambda look: look[0])
    assert np.array_equal(found.angles_rad, best[1])
    assert np.array_equal(looks[-1][1], best[1])
    assert found.settings == 2 * len(looks) == 62


async def test_time_out_ends_it() -> None:
    scrambled = ScrambledLink.random(ACTUATORS["paddles"], 4)

    async def measure(angles: np.ndarray) -> Look:
        return scrambled.count(angles)

    goal = Goal(0.0, -1.0, is_late=lambda: scrambled.looks >= 7)
    found = await search(scrambled.link(), STRATEGIES["line"], measure, goal, np.random.default_rng(4))
    assert (found.reason, scrambled.looks) == ("time-out", 8)


async def test_a_turn_behind_the_plates_is_no_obstacle() -> None:
    """The reference says how probes look behind a link that turns nothing, in the polarimeter's own frame."""
    failures = 0
    for seed in range(20):
        scrambled = ScrambledLink.random(ACTUATORS["squeezers"], seed)
        scrambled.behind = np.array([[0.6, 0.8j], [0.8j, 0.6]])  # 106 degrees about S2

        async def measure(angles: np.ndarray, scrambled: ScrambledLink = scrambled) -> Look:
            return scrambled.see(angles)

        goal = Goal(STOP, STOP, most_settings=60)
        found = await search(
            scrambled.link(), STRATEGIES["stokes"], measure, goal, np.random.default_rng(seed)
        )
        failures += found.reason != "compensated" or scrambled.pair_fidelity(found.angles_rad) < 0.97
    assert failures == 0


@pytest.mark.parametrize("name", ACTUATORS)
def test_angles_for_any_rotation_are_within_the_limits(name: str) -> None:
    """Of 40 random rotations; three paddles have a gap of 10 degrees in which some of them fall."""
    from experiments.calibrations.polarization.sphere import pair_fidelity, random_rotation

    plates: Plates = ACTUATORS[name]
    rng = np.random.default_rng(8)
    fidelities = []
    for _ in range(40):
        target = random_rotation(rng)
        angles = plates.angles_for(target, plates.random(rng), rng)
        assert np.all((plates.low_rad <= angles) & (angles <= plates.high_rad))
        fidelities.append(pair_fidelity(target.T @ plates.rotation(angles)))
    assert min(fidelities) > (0.99 if name == "paddles" else 1 - 1e-6)
