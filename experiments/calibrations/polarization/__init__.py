"""Polarization compensation: turn the plates of a controller until a link turns no polarization any more."""
