"""Count heralded four-folds: a herald at the hub with a click at each of the two spokes.

This is the figure an entanglement-swapping experiment lives on. It is exact and streaming: the counts do not
depend on where the stream was cut into blocks. Combinations are counted, so two clicks in a spoke's
window are two four-folds, as the reference calculation does (`physics.md` 3, pitfall 8, and 5).
"""

from collections.abc import Mapping, Sequence

from timetags.analyses.coincidences import Analyser
from timetags.analyses.heralded import HeraldedFolds


class HeraldedFourfolds(HeraldedFolds):
    """Heralds and four-folds within a gate, for one setting of the analysers.

    - `hub`: the channels of cH, cV, dH, dV. `spokes`: the channels (H, V) of spoke A and of spoke B.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named. All times
      below are delayed times.
    - `bsm_window_ps`: full width on t1 - t2, see `analyses.heralds` for its borders and the patterns.
    - `spoke_window_ps`, `spoke_centre_ps`: a spoke's click s belongs to a herald if
      -window/2 <= s - (t1 + t2)/2 - centre < window/2; exactly `spoke_window_ps` integer times do.
    - `gate_ps`: (start, end); heralds with start <= (t1 + t2)/2 < end count. None: all.
    - `spoke_shifts_ps`: added to the times of the spokes A and B besides, for accidentals.

    `heralds` are those of [Psi-, Psi+], `counts` the four-folds [Psi-, Psi+][A: H, V][B: H, V]. Times must
    lie within +-2**60 ps (13 days). ValueError if channels repeat or a window is not positive.
    """

    def __init__(
        self,
        hub: Sequence[int],
        spokes: tuple[tuple[int, int], tuple[int, int]],
        delays_ps: Mapping[int, int],
        *,
        bsm_window_ps: int,
        spoke_window_ps: int,
        spoke_centre_ps: int,
        gate_ps: tuple[int, int] | None = None,
        spoke_shifts_ps: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(
            hub,
            [Analyser(spoke, spoke_window_ps, spoke_centre_ps) for spoke in spokes],
            delays_ps,
            bsm_window_ps=bsm_window_ps,
            gate_ps=gate_ps,
            shifts_ps=spoke_shifts_ps,
        )
