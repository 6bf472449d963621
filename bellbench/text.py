"""How figures are written for people: with their error, as a rate, as a time."""

import math


def with_error(value: float | None, error: float | None) -> str:
    """`value ± error`, both to the second digit of the error."""
    if value is None:
        return "not known"
    if not error:
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(abs(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def rate(hz: float | None) -> str:
    """A rate per second: whole counts where there are many."""
    if hz is None:
        return "-"
    return f"{hz:,.0f} /s" if hz >= 100 else f"{hz:.2f} /s"


def duration(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
