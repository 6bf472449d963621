"""`balance_arms`: how bright the two arms are at the hub's beam splitter, and as an option equally bright.

An arm is alone while the pump of the other source is at its lowest power. Four-folds do not need equal arms;
but half of all heralds, at best, come from one source alone, and fewest for a given rate do when both arms
are equally bright (`estimators.balance`).
"""

from collections.abc import Iterator, Mapping

from drivers.capabilities import Laser
from experiments.calibrations.polarization.counting import tags_of
from experiments.config.experiment import Experiment
from experiments.config.lightpaths import source_into
from experiments.config.plan import BalanceArms
from experiments.engine.bench import Bench
from experiments.engine.bring_up import LASER_S, POWER_TOLERANCE
from experiments.engine.events import Happened
from experiments.engine.motion import settle, verify
from experiments.engine.outcome import RunError
from experiments.engine.record import utc_now
from experiments.engine.step import Context, SetPoint, Step
from experiments.estimators.balance import Balance, arm_balance

CALIBRATION = "balance of arms"


class BalanceArmsStep(Step[BalanceArms]):
    """`balance_arms`. While it measures, pumps are not at their set-points, so it does not go on after a
    failure."""

    needs_tags = True

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        return {pump.name for pump in self._pumps(bench, experiment).values()}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for pump in self._pumps(bench, experiment).values():
            yield SetPoint(pump.name, "power", pump.power_limits.low, pump.power_limits)

    async def run(self, context: Context) -> None:
        pumps = self._pumps(context.bench, context.experiment)
        for pump in pumps.values():
            if not await pump.emission():
                raise RunError(f"{pump.name} does not emit; switch it on in bring_up before {self.kind}")
        powers = {spoke: await pump.power() for spoke, pump in pumps.items()}
        before = await self._measure(context, pumps, powers)
        after = None
        if self.parameters.adjust:
            first, second = pumps
            arm, excess_db = before.attenuate
            powers[(first, second)[arm]] *= 10 ** (-excess_db / 10)
            after = await self._measure(context, pumps, powers)
        record: dict[str, object] = {
            "utc": utc_now(),
            "run": context.folder.name,
            "before": _figures(before),
            **({} if after is None else {"after": _figures(after)}),
            "pump_power": {spoke: {"value": power, "unit": "W"} for spoke, power in powers.items()},
        }
        context.store_calibration(CALIBRATION, record)
        found = after or before
        brighter, darker = pumps
        message = (
            f"the arm of {brighter} is {found.excess_db.value:+.3f} +- {found.excess_db.error:.3f} dB "
            f"brighter than that of {darker}; {found.from_both:.3f} of all pairs of idlers have one of each"
        )
        context.announce(Happened("calibrated", message, {"calibration": CALIBRATION, **record}))

    async def _measure(
        self, context: Context, pumps: Mapping[str, Laser], powers: Mapping[str, float]
    ) -> Balance:
        """Both arms at these powers, each alone, and neither; at the end both shine."""
        first, second = pumps
        dark = {spoke: pump.power_limits.low for spoke, pump in pumps.items()}
        hub = context.bench.hub_detectors(context.experiment.swapping.bell_state_measurement)
        counts = []
        for doing, wanted in (
            (f"{first} alone", {**dark, first: powers[first]}),
            (f"{second} alone", {**dark, second: powers[second]}),
            ("neither arm", dark),
            ("", powers),
        ):
            for spoke, power in wanted.items():
                await pumps[spoke].set_power(power)
            await settle(list(pumps.values()), context.clock, LASER_S)
            for spoke, power in wanted.items():
                found = await pumps[spoke].power()
                within = POWER_TOLERANCE * powers[spoke]
                verify(pumps[spoke], "power", power, found, within, "W")
            if doing:
                context.progress(doing)
                tags = await tags_of(context, hub, self.parameters.dwell)
                counts.append(sum(len(times) for times in tags.values()))
        try:
            return arm_balance(*counts)
        except ValueError as error:
            raise RunError(
                f"{self.kind}: {error}. See whether both sources shine as far as the hub"
            ) from error

    def _pumps(self, bench: Bench, experiment: Experiment) -> dict[str, Laser]:
        """The pump of each spoke's source."""
        pumps = {}
        for spoke in experiment.swapping.spokes:
            source = source_into(bench.testbed, "signal", spoke)
            assert source is not None  # refused by `SwappingSettings.faults`
            pumps[spoke] = bench.get(bench.testbed.sources[source].pump, Laser)
        return pumps


def _figures(balance: Balance) -> dict[str, object]:
    excess = balance.excess_db
    return {
        "excess": {"value": excess.value, "unit": "dB", "uncertainty": excess.error},
        "from_both": {"value": balance.from_both, "unit": "1"},
    }
