"""Fit the correlation peak of a pair source: where it is, how wide, how many pairs on what floor.

The shape is that of the source, seen through jitter: the spoke's photon after the hub's with a decay t1,
before it with a decay t2, convolved with a Gaussian, on a flat floor of accidentals (`physics.md` 1, kind 1).
The position is the cusp of the exponentials. The centroid lies t1 - t2 away from it (400 ps on the
deployed link), so it must never be used beside this.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

# Lower, and the fit would chase a fluctuation: with some thousand places tried, the best of pure noise
# passes 6 standard deviations about once in 10^6 histograms.
_SIGNIFICANT_Z = 6.0
# A bin so many standard deviations away from what the fit expects is not of its kind.
_STRANGE_Z = 8.0
# Decays and jitter are not distinguished from zero below this, ps.
_LEAST_WIDTH_PS = 1.0
_MOST_ROUNDS = 20
# The logarithm of each width is held to its starting value with this standard deviation (a factor of e). It
# settles what counts cannot: a decay much shorter than the jitter, or any width where pairs are few. With
# the counts of a calibration it moves nothing that could be seen. But a peak with a truly sharp flank
# (t2 = 0) is placed too late, by some 0.4 of the jitter.
_WIDTH_PRIOR = 1.0


class DelayError(ValueError):
    """There is no correlation peak to take a delay from. The text says what to do."""


@dataclass(frozen=True)
class Peak:
    """The fitted peak of a histogram of x = t_spoke - t_hub, ps; errors are one standard deviation.

    `tau_signal_ps` is the decay for x > position (the signal photon, at the spoke, comes later),
    `tau_idler_ps` that for x < position, `sigma_ps` the jitter of both detectors together. `pairs` counts
    the pairs in the peak, `background` the accidentals per bin.
    """

    position_ps: float
    position_error_ps: float
    tau_signal_ps: float
    tau_idler_ps: float
    sigma_ps: float
    pairs: float
    background: float


def excess(counts: Values, floor: Values) -> tuple[int, float]:
    """The place of the count highest above its floor, and how many standard deviations it is above; of a few
    neighbours with equal counts, the middle.

    Poisson: z = sqrt(2 (n ln(n/m) - n + m)), which holds for small counts also, where (n - m)/sqrt(m) is
    far too large. If counts scatter more than sqrt(m) (1.48 times the median absolute deviation),
    z is less by that ratio.
    """
    deviation = counts - floor
    scatter = 1.48 * float(np.median(np.abs(deviation - np.median(deviation))))
    mean = np.maximum(floor, 1e-3)  # a floor of 0 is known no better than that
    n = np.maximum(counts, mean)
    squares = 2 * (n * np.log(n / mean) - n + mean)
    z = np.sqrt(np.maximum(squares, 0)) / np.maximum(1.0, scatter / np.sqrt(np.maximum(mean, 1.0)))
    first = int(np.argmax(z))
    lower = np.flatnonzero(z[first:] < z[first])
    equal = int(lower[0]) if len(lower) else len(z) - first
    return first + (equal - 1) // 2, float(z[first])


def fit_peak(histogram: NDArray[np.int64], centres: Values, bin_ps: int) -> Peak:
    """Fit a correlation histogram: counts per bin, the bins' centres and their equal width, ps.

    The peak should lie within the middle half, with some decay lengths of floor on both sides. A maximum-
    likelihood fit for Poisson counts, the model integrated over each bin. DelayError if no peak stands out,
    or if it lies within a tenth of the histogram from its edge.
    """
    counts = histogram.astype(float)
    start = _starting_values(counts, centres, bin_ps)
    values, covariance = _fit(counts, centres, bin_ps, start)
    position, log_signal, log_idler, log_sigma, pairs, background = values.tolist()
    error = float(np.sqrt(covariance[0, 0]))
    # A flank that the histogram cuts off looks sharp to the fit, which would be confident and wrong.
    margin = 0.1 * (centres[-1] - centres[0])
    if not (centres[0] + margin < position < centres[-1] - margin and np.isfinite(error) and pairs > 0):
        raise DelayError(
            f"the correlation peak is at {position:.0f} ps, too close to the edge of the histogram "
            f"({centres[0]:.0f} to {centres[-1]:.0f} ps) to be fitted. Centre the histogram on the peak and "
            "make it ten times as wide as the peak."
        )
    signal, idler, sigma = np.exp([log_signal, log_idler, log_sigma]).tolist()
    return Peak(position, error, signal, idler, sigma, pairs, background)


def locate(
    histogram: NDArray[np.int64], centres: Values, bin_ps: int, shape: Peak
) -> tuple[float, float] | None:
    """Where a peak of known shape stands in a histogram: position and standard error, ps, by maximum
    likelihood. `shape` says how many pairs and how much floor are to be expected; its position does not
    matter. None if no peak stands out.
    """
    counts = histogram.astype(float)
    widths = np.log([shape.tau_signal_ps, shape.tau_idler_ps, shape.sigma_ps])
    floor = max(shape.background, 1e-6)

    def model(position: float) -> Values:
        return _model(np.array([position, *widths, shape.pairs, floor]), centres, bin_ps)

    # The likelihood at every bin's centre at once; then Fisher's scoring from the best one.
    middle = len(centres) // 2
    weights = np.log(model(float(centres[middle])) / floor)
    gains = np.correlate(counts, weights, "full")[len(counts) - 1 - middle :][: len(counts)] - shape.pairs
    best = int(np.argmax(gains))
    if 2 * gains[best] < _SIGNIFICANT_Z**2:
        return None
    position, error, step = float(centres[best]), np.inf, bin_ps / 4
    for _ in range(_MOST_ROUNDS):
        expected = model(position)
        slope = (model(position + step) - model(position - step)) / (2 * step)
        error = 1 / np.sqrt(np.sum(slope**2 / expected))
        change = float(np.sum((counts / expected - 1) * slope)) * error**2
        position += min(max(change, -5.0 * bin_ps), 5.0 * bin_ps)
        if abs(change) < 1e-3 * error:
            break
    return position, float(error)


def _starting_values(counts: Values, centres: Values, bin_ps: int) -> Values:
    """The peak's place and widths, read off the histogram. DelayError if there is none."""
    # The peak fills less than half of the histogram, so the median bin is floor; for few counts per
    # bin the median is coarse, and the mean of the lower part of smoothed counts is not.
    floor = _floor(counts)
    best_z, smooth, place = 0.0, counts, 0
    for width in (5, 15, 45):
        if width > len(counts) // 4:
            break
        candidate = np.convolve(counts, np.ones(width), mode="valid")
        k, z = excess(candidate, np.full(len(candidate), width * floor))
        if z > best_z:
            best_z, smooth, place = z, candidate / width, k
    if best_z < _SIGNIFICANT_Z:
        raise DelayError(
            f"no correlation peak: the highest excess is {best_z:.1f} standard deviations, "
            f"{_SIGNIFICANT_Z:g} are needed ({counts.sum():.0f} counts, {len(counts)} bins of {bin_ps} ps). "
            "Check that both detectors see the same source and that the range holds the delay, or take "
            "more data."
        )
    offset = (len(counts) - len(smooth)) // 2
    above = smooth - floor > (smooth[place] - floor) / 2
    left, right = place, place
    while left > 0 and above[left - 1]:
        left -= 1
    while right < len(above) - 1 and above[right + 1]:
        right += 1
    half = np.log(2)
    signal = max((right - place + 0.5) * bin_ps / half, bin_ps)
    idler = max((place - left + 0.5) * bin_ps / half, bin_ps)
    sigma = max(0.3 * min(signal, idler), bin_ps)
    pairs = max(float(np.sum(counts - floor)), float(smooth[place] - floor), 1.0)
    position = float(centres[place + offset])
    return np.array([position, np.log(signal), np.log(idler), np.log(sigma), pairs, max(floor, 1e-6)])


def _floor(counts: Values) -> float:
    """The floor: the median of means over 20 parts of the histogram, most of which the peak is not in."""
    return float(np.median([part.mean() for part in np.array_split(counts, min(20, len(counts)))]))


def _fit(counts: Values, centres: Values, bin_ps: int, start: Values) -> tuple[Values, Values]:
    """Parameters (position, log t1, log t2, log sigma, pairs, background) and their covariance."""
    from scipy.optimize import least_squares

    # Delays are milliseconds and their errors picoseconds: fit the position relative to where it starts.
    origin = start[0]
    centres = centres - origin
    start = np.array([0.0, *start[1:]])
    least, most = np.log(_LEAST_WIDTH_PS), np.log(float(centres[-1] - centres[0]))
    lower = np.array([centres[0], least, least, least, 0.0, 0.0])
    upper = np.array([centres[-1], most, most, most, np.inf, np.inf])
    values = np.clip(start, lower + 1e-9, upper - 1e-9)
    scale = np.array([bin_ps, 0.1, 0.1, 0.1, np.sqrt(start[4]), np.sqrt(start[5] + 1e-3)])

    # Least squares, each bin weighted with the model of the round before. Where this settles, it is the
    # maximum of the Poisson likelihood; weights from the counts themselves would bias the floor down.
    for _ in range(_MOST_ROUNDS):
        weights = 1 / np.sqrt(_variances(counts, np.maximum(_model(values, centres, bin_ps), 1e-3)))

        def residuals(x: Values, weights: Values = weights) -> Values:
            from_counts = (_model(x, centres, bin_ps) - counts) * weights
            return np.append(from_counts, (x[1:4] - start[1:4]) / _WIDTH_PRIOR)

        def weighted_slopes(x: Values, weights: Values = weights) -> Values:
            return np.vstack([_slopes(x, centres, bin_ps) * weights[:, None], np.eye(6)[1:4] / _WIDTH_PRIOR])

        result = least_squares(residuals, values, weighted_slopes, bounds=(lower, upper), x_scale=scale)
        moved = float(np.abs((result.x - values) / scale).max())
        values = result.x
        if moved < 1e-3:
            break
    covariance: Values = np.linalg.pinv(result.jac.T @ result.jac, hermitian=True)
    values[0] += origin
    return values, covariance


def _variances(counts: Values, expected: Values) -> Values:
    """Of the counts: what is expected. A bin that chance does not explain takes part like one at the limit of
    what it does: beside the peak of a pulsed source stand those of other sources on no floor at all, and one
    such bin would outweigh the peak."""
    squares = 2 * (counts * np.log(np.maximum(counts, 1e-9) / expected) - counts + expected)
    strange = squares > _STRANGE_Z**2
    variances: Values = np.where(strange, ((counts - expected) / _STRANGE_Z) ** 2, expected)
    return variances


def _model(values: Values, centres: Values, bin_ps: int) -> Values:
    position, log_signal, log_idler, log_sigma, pairs, background = values
    edges = np.append(centres - bin_ps / 2, centres[-1] + bin_ps / 2) - position
    signal, idler, sigma = np.exp([log_signal, log_idler, log_sigma])
    # phi^2: exponentials of equal height at the cusp, so of weights t1 and t2 (`physics.md` 1).
    below = (signal * _decay(edges, signal, sigma) + idler * (1 - _decay(-edges, idler, sigma))) / (
        signal + idler
    )
    expected: Values = background + pairs * np.diff(below)
    return expected


def _slopes(values: Values, centres: Values, bin_ps: int) -> Values:
    """Of the model, by each of its parameters: (bins, 6)."""
    position, log_signal, log_idler, log_sigma, pairs, _ = values
    edges = np.append(centres - bin_ps / 2, centres[-1] + bin_ps / 2) - position
    signal, idler, sigma = np.exp([log_signal, log_idler, log_sigma])
    after, after_x, after_tau, after_sigma = _decay_slopes(edges, signal, sigma)
    before, before_x, before_tau, before_sigma = _decay_slopes(-edges, idler, sigma)
    both = signal + idler
    below = (signal * after + idler * (1 - before)) / both
    by_parameter = (
        -(signal * after_x + idler * before_x) / both * pairs,
        (after + signal * after_tau - below) / both * pairs * signal,
        (1 - before - idler * before_tau - below) / both * pairs * idler,
        (signal * after_sigma - idler * before_sigma) / both * pairs * sigma,
        below,
    )
    columns = [*(np.diff(column) for column in by_parameter), np.ones(len(centres))]
    slopes: Values = np.column_stack(columns)
    return slopes


def _decay(x: Values, tau: float, sigma: float) -> Values:
    """The distribution function of an exponential with mean tau plus a Gaussian of standard deviation sigma:
    Phi(x/s) - exp(s^2/2t^2 - x/t) Phi(x/s - s/t)."""
    from scipy.special import ndtr

    distribution: Values = ndtr(x / sigma) - _late(x, tau, sigma)
    return distribution


def _decay_slopes(x: Values, tau: float, sigma: float) -> tuple[Values, Values, Values, Values]:
    """The same, and its derivatives by x, tau and sigma. Where the second Phi has the density phi(u), its
    factor makes phi(x/s) of it, so that the second term and phi(x/s) tell them all."""
    from scipy.special import ndtr

    late = _late(x, tau, sigma)
    bell = np.exp(-0.5 * (x / sigma) ** 2) / np.sqrt(2 * np.pi)
    by_tau = -late * (x * tau - sigma**2) / tau**3 - bell * sigma / tau**2
    by_sigma = bell / tau - late * sigma / tau**2
    return ndtr(x / sigma) - late, late / tau, by_tau, by_sigma


def _late(x: Values, tau: float, sigma: float) -> Values:
    from scipy.special import log_ndtr

    # In logarithms: for small tau the exponential overflows while Phi underflows.
    late: Values = np.exp(sigma**2 / (2 * tau**2) - x / tau + log_ndtr(x / sigma - sigma / tau))
    return late
