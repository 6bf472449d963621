"""What a Bell-state measurement has to know of the photons that come to it.

Every photon carries the number of a row: for each light, and for each thing that may have happened to the
photon's partner, a row holds the state in which it arrives, seen from behind the beam splitters. Ports are
numbered cH, cV, dH, dV = 0..3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.wave_packets import Floats

Complex = NDArray[np.complex128]
NOBODY = -1


class Tables(NamedTuple):
    """Rows of photons, and the lights they belong to."""

    conditional: Complex
    """(rows, 4, 4) port density matrices G, not normalised: G[p, p] ~ P(port p)."""
    single: Floats
    """(rows, 4) cumulative port probabilities of a lone photon."""
    pure: Complex
    """(rows, 2, 4) two pure port states of which G is the mixture, and `weight` the share of the first."""
    weight: Floats
    light: NDArray[np.int64]
    """(rows,) the photon's light."""
    packets: Floats
    """(lights, 8) rows of wave packets."""
    side: NDArray[np.int64]
    """(lights,) input of the beam splitter, 0 for a, 1 for b."""
    carrier: Floats
    """(lights,) angular frequency above that of the first light, in rad/ps."""
    mode_overlap: float
    undecided: int
    """The row of photons whose partners' state depends on the port they take here, or `NOBODY`."""
    partner: Complex
    """(4, 4, 2, 2) S[p, q]: the operator on such a partner that goes with element (p, q) of G."""


class Rows(NamedTuple):
    """The part of the tables that belongs to rows."""

    conditional: Complex
    single: Floats
    pure: Complex
    weight: Floats

    @classmethod
    def of(cls, conditional: Complex) -> "Rows":
        """Of port density matrices (n, 4, 4) of rank 2: the state of one polarization."""
        single = np.cumsum(np.maximum(np.einsum("npp->np", conditional).real, 0.0), axis=1)
        total = single[:, 3:]
        single = np.divide(single, total, out=np.ones_like(single), where=total > 0.0)
        single[:, 3] = 1.0
        values, vectors = np.linalg.eigh(conditional)
        pure = np.ascontiguousarray(vectors[:, :, :-3:-1].transpose(0, 2, 1))
        first, second = values[:, -1], np.maximum(values[:, -2], 0.0)
        # A row without light never comes up.
        weight = np.divide(first, first + second, out=np.ones_like(first), where=first > 0.0)
        return cls(conditional, single, pure, weight)

    @classmethod
    def behind(cls, ports: Complex, states: Complex) -> "Rows":
        """Of photons of polarization `states` (n, 2, 2) behind the amplitudes `ports` (4, 2)."""
        conditional: Complex = ports @ states @ ports.conj().T
        single = np.cumsum(np.maximum(np.einsum("npp->np", conditional).real, 0.0), axis=1)
        single /= np.maximum(single[:, 3:], 1e-300)
        single[:, 3] = 1.0
        values, vectors = np.linalg.eigh(states)
        pure = np.einsum("pi,nik->nkp", ports, vectors)
        norm = np.einsum("nkp,nkp->nk", pure, pure.conj()).real
        share = np.maximum(values, 0.0) * norm
        pure /= np.sqrt(np.maximum(norm, 1e-300))[:, :, None]
        return cls(conditional, single, pure, share[:, 0] / np.maximum(share.sum(axis=1), 1e-300))

    @classmethod
    def together(cls, parts: Sequence["Rows"]) -> "Rows":
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
