"""How a latched nanowire is known by the voltage across it (`singlequantum_websq.md` "Behaviour",
`quantumopus_sim.md`).

A wire of about 1 MOhm behind its bias resistor of 100 kOhm shows 91 kOhm of the current that was asked for; a
superconducting one with its cable less than 1 kOhm.
"""

LATCHED_OHM = 10e3
"""Resistance from which a wire counts as normal: our choice, in the middle of the two on a logarithmic
scale. It takes the voltage for the one across the wire; where electronics measure it before the bias
resistor, which the notes do not exclude, every wire looks latched."""
LATCHED_V = 10e-3
"""Voltages up to this are offset, at whatever current; our choice."""


def looks_latched(voltage_v: float, current_a: float) -> bool:
    """Whether the voltage on a wire is far above what its bias current explains."""
    return abs(voltage_v) > max(LATCHED_V, LATCHED_OHM * abs(current_a))
