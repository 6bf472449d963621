"""The simulated bench: instruments that are servers speaking the real wire protocols, standing in one
light field (`sim_instruments.world`).

A simulated instrument shares no code with its driver: both are written from the protocol notes, so
that one misreading cannot hide another. `sim_instruments.bench` builds the bench of a testbed.
"""
