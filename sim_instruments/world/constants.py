"""Constants of nature in SI units; exact by definition (SI, 2019)."""

LIGHT_SPEED = 299_792_458.0
PLANCK = 6.626_070_15e-34
BOLTZMANN = 1.380_649e-23
