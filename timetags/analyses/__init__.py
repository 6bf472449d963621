"""Analyses of tag streams: each takes blocks in order (`analysis.Analysis`), and is exact for any cuts.

`analysis.OnePass` feeds any number of them from one reading of a stream, on one thread or more.

| module | counts |
|---|---|
| `rates`, `rates_over_time` | singles within gates; per time bin |
| `correlate`, `allpairs` | histograms of time differences: of one pair of channels, of many, of all |
| `coincidences` | two- to n-folds with delays and windows per channel; matrices of analyser outcomes |
| `heralds`, `heralded`, `fourfold` | Bell-state heralds, n-folds with them, four-folds of swapping |
| `around` | nothing: keeps the tags around heralds |
| `accidentals`, `scan` | any of these with displaced windows; at each position of a scan |
| `g2`, `hom` | g2, pulsed and heralded g2; Hong-Ou-Mandel three- and four-folds |
| `virtual` | nothing: adds coincidences, heralds, delayed and gated tags to a stream as channels |
"""
