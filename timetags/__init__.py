"""Tag streams: blocks of time tags, their merging and their correlations; nothing about devices.

A tag is a time in integer picoseconds and a channel number. Hot loops are numba kernels over arrays,
in modules that are imported where they are used, so that importing `timetags` costs nothing.
"""
