"""Bringing the clocks of several nodes onto one time-base."""
