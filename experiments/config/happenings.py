"""`simulation: happenings:` of a testbed file: what shall go wrong on the simulated bench, and when.

A happening is one verb, the thing that it happens to, and how much of it:

    - {at: 2 h, jump: alice_fibre, angle: 0.4 rad}
    - {at: 2.5 h, shake: bob_fibre, diffusion: 10 rad^2/s, for: 1 min}
    - {at: 3 h, power_cycle: alice_hwp, for: 20 s}
    - {at: 5 h, latch: hub_nanowires.2}
    - {at: 7 h, unlock: alice_pump, left: 5 %}      # a laser
    - {at: 9 h, unlock: white_rabbit, for: 60 s}    # a clock, or a tagger with one of its own
    - {at: 11 h, move_delay: bob_fibre, by: 3 ns}
    - {at: 13 h, distinguishable: hub_bsm, overlap: 0.4, for: 10 min}

Times are those of the world, from the moment the bench began. No experiment is told of any of this.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from drivers.units import Fraction, PolarizationDiffusion, Radians, Seconds
from experiments.config.model import Channel, Name, NotNegative, Part, Positive

TAKES: Mapping[str, tuple[str, ...]] = {
    "jump": ("angle",),
    "shake": ("diffusion", "for"),
    "power_cycle": ("for",),
    "latch": (),
    "unlock": ("for", "left"),
    "move_delay": ("by",),
    "distinguishable": ("overlap", "for"),
}
"""What may be said besides, for each verb."""
NEEDS: Mapping[str, tuple[str, ...]] = {
    "shake": ("for",),
    "move_delay": ("by",),
    "distinguishable": ("overlap", "for"),
}
AMOUNTS = ("angle", "diffusion", "for", "left", "by", "overlap")


class SimulatedHappening(Part):
    """One happening; just one of the verbs is given."""

    at: Annotated[Seconds, NotNegative]
    jump: Name | None = None
    """A fibre, whose polarization turns by `angle` about an axis that chance chooses."""
    shake: Name | None = None
    """A fibre that somebody works on: its polarization diffuses by `diffusion` more, `for` so long."""
    power_cycle: Name | None = None
    """An instrument without power `for` so long, which comes back as it starts up."""
    latch: Channel | None = None
    """A channel of detector electronics, whose wire goes normal until its bias is lowered."""
    unlock: Name | None = None
    """A laser that falls off its line, where its source makes the fraction `left` of its light until
    the power is moved and set anew; or a clock that loses its reference `for` so long."""
    move_delay: Name | None = None
    """A fibre whose delay changes `by` so much."""
    distinguishable: Name | None = None
    """A Bell-state measurement with so little mode `overlap` `for` so long."""
    angle: Annotated[Radians, Positive] | None = None
    """Left out, 0.4 rad."""
    diffusion: Annotated[PolarizationDiffusion, Positive] | None = None
    """Left out, 10 rad^2/s: no search follows that."""
    for_s: Annotated[Seconds, Positive] | None = Field(None, alias="for")
    left: Fraction | None = None
    """Left out, 5 %."""
    by: Seconds | None = None
    overlap: Fraction | None = None

    @model_validator(mode="after")
    def _one_verb(self) -> "SimulatedHappening":
        verbs = [verb for verb in TAKES if getattr(self, verb) is not None]
        if len(verbs) != 1:
            raise ValueError(f"a happening is one of {', '.join(TAKES)}; give just one of them")
        for amount in AMOUNTS:
            given = getattr(self, "for_s" if amount == "for" else amount) is not None
            if given and amount not in TAKES[verbs[0]]:
                raise ValueError(f"{verbs[0]} takes no {amount}; leave it out")
            if not given and amount in NEEDS.get(verbs[0], ()):
                raise ValueError(f"{verbs[0]} needs {amount}")
        return self

    @property
    def verb(self) -> str:
        """Which of the verbs it is."""
        return next(verb for verb in TAKES if getattr(self, verb) is not None)

    @property
    def thing(self) -> str:
        """What it happens to."""
        return str(getattr(self, self.verb))
