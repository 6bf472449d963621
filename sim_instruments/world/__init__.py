"""The light field: photons from their birth in a source to the click in a time tagger.

`layout` says what stands where, `light_field` moves it through time. The model, its formulas and its
limits are those of the design note physics.md: pairs are a Poisson process with bunched two-pair
clusters added, loss and polarization are folded into 4x4 tables per source and spoke outcome, photons
that overlap in time at a beam splitter are routed jointly with exchange-symmetrised amplitudes, and
everything that cannot interfere is plain Poisson noise at its detector.
"""
