"""The figures that the README quotes, re-runnable: `python -m benchmarks`.

A figure is the median of several rounds; where it is compared with something, both ran in the same rounds.
Nothing here is asserted: a machine is as fast as it is.
"""
