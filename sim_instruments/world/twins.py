"""Twins: a pair source both photons of which go to one Bell-state measurement, and interfere there with each
other.

Source: physics.md 1, "Signal-idler HOM of one pair": P(p, q) = D1 R[pq, pq] + D2 R[qp, qp] +
2 kappa Re(f1 f2* R[pq, qp]). Twins are taken to interfere with no other light, and to come as Poisson pairs.
"""

from math import cos, exp, inf, sin

import numpy as np

from sim_instruments.world.births import Singles, birth_times, separations
from sim_instruments.world.destinations import Entrance
from sim_instruments.world.hub import Photons
from sim_instruments.world.interference import Bytes, draw
from sim_instruments.world.routes import PS, Channels, Loners, Side
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.tables import Complex
from sim_instruments.world.wave_packets import Floats, WavePacket, Window, log_amplitude
from timetags.jit import kernel


class Twins:
    """A route of a pair source, see `routes`."""

    def __init__(
        self, packet: WavePacket, rng: np.random.Generator, rate: float, sides: tuple[Side, Side],
        ends: tuple[Entrance, Entrance], channels: Channels,
    ) -> None:  # fmt: skip
        """Of signal and idler."""
        self._packet, self._rng, self._ends = packet, rng, ends
        self._scratch = Scratch(), Scratch(), Scratch()
        both = np.kron(ends[0].ports, ends[1].ports)
        self._both: Complex = both @ sides[1].rho @ both.conj().T
        joint = np.diag(self._both).real.reshape(4, 4)
        self._rate = rate * float(joint.sum())
        hub = ends[0].hub
        self._overlap = hub.measurement.mode_overlap if ends[0].side != ends[1].side else 0.0
        self._phase_rate = 2 * np.pi * PS * (sides[1].carrier_hz - sides[0].carrier_hz)
        self._loners = []
        for k, end in enumerate(ends):
            state = np.einsum("vawa->vw" if k == 0 else "avaw->vw", sides[1].rho.reshape(2, 2, 2, 2))
            arrive = np.einsum("pi,ij,pj->p", end.ports, state, end.ports.conj()).real
            lone = rate * np.maximum(arrive - joint.sum(axis=1 - k), 0.0)
            clicks = [(name, end.delay_ps, click) for name, click in hub.port_clicks(lone)]
            self._loners.append(Loners(packet if k else packet.mirrored, clicks, channels))
        soonest = min(end.delay_ps for end in ends)
        self.lag_ps = packet.before_birth_ps + packet.early_ps - soonest

    def emit(self, window: Window) -> Photons:
        """All photons of which the partner arrives too; of pulsed light, all photons."""
        rng, packet, scratch = self._rng, self._packet, self._scratch[0]
        t = birth_times(packet, self._rate, window, rng, scratch, "births")
        x = separations(packet, rng, len(t))
        if packet.width:
            t += packet.width * rng.standard_normal(len(t)) - x / 2
        port = scratch("port", 2 * len(t), np.int8).reshape(-1, 2)
        delays = [end.delay_ps for end in self._ends]
        timeless = WavePacket(packet.kind, packet.after, packet.before).row()
        twin_ports(delays[0] - delays[1], timeless, self._both, self._overlap, self._phase_rate, x, rng, port)
        hub = self._ends[0].hub
        photons = [photon for loners in self._loners for photon in loners.emit(window, rng, scratch)]
        for k, times in enumerate((t + x + delays[0], t + delays[1])):
            photons += hub.detected(times, np.ascontiguousarray(port[:, k]), rng, self._scratch[1 + k])
        return photons


@kernel
def twin_ports(
    delta: float, amplitude: Floats, both: Complex, overlap: float, phase_rate: float, x: Singles,
    rng: np.random.Generator, port: Bytes,
) -> None:  # fmt: skip
    """Draw the ports (n, 2) of signals and idlers. `x` is by how much a signal is born later than its idler,
    `delta` by how much longer its way is, in ps; `amplitude` the row of the wave packet; `both` R (16, 16),
    the state of a pair at the ports; `phase_rate` the difference of the carriers in rad/ps."""
    packets = amplitude.reshape(1, -1)
    probabilities = np.empty(16)
    for i in range(len(x)):
        # Signal at s, idler at t; and the other way about, which takes s - t to -x - 2 delta.
        ratio = exp(
            log_amplitude(packets, 0, -x[i] - 2 * delta, 0.0) - log_amplitude(packets, 0, float(x[i]), 0.0)
        )
        if not ratio < inf:
            ratio = 0.0
        angle = phase_rate * (x[i] + delta)
        exchange = ratio * overlap * complex(cos(angle), sin(angle))
        for p in range(4):
            for q in range(4):
                probabilities[4 * p + q] = (
                    both[4 * p + q, 4 * p + q].real
                    + ratio * ratio * both[4 * q + p, 4 * q + p].real
                    + 2 * (exchange * both[4 * p + q, 4 * q + p]).real
                )
        taken = draw(probabilities, 16, rng)
        port[i, 0], port[i, 1] = taken // 4, taken % 4
