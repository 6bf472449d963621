"""Drivers: talk to instruments, real or simulated, in the bytes that the instrument understands.

Experiments see the interfaces in `drivers.capabilities`; one file per instrument model implements
them; `drivers.catalog` finds a model by its name. Nothing here knows whether glass or a simulation
answers.
"""
