"""A histogram in the terminal, drawn with block characters."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def histogram(counts: NDArray[np.int64], edges: Sequence[str], width: int, height: int = 12) -> list[str]:
    """Lines of text that show counts as columns, at most `width` characters wide and `height` high.

    Neighbouring bins are added up where there are more of them than columns; `edges` are the texts under
    the left, middle and right. The axis begins at zero, or near the lowest column if all are high.
    """
    number = f"{int(counts.max(initial=0)):,}"
    room = max(width - len(number) - 5, 10)
    group = max(1, -(-len(counts) // room))
    filled = np.append(counts, np.zeros(-len(counts) % group, np.int64)).reshape(-1, group)
    whole = np.array([group] * (len(filled) - 1) + [group - (-len(counts) % group)])
    columns = filled.sum(axis=1) * (group / whole)  # the last may hold fewer bins
    top = float(columns.max(initial=0.0))
    low = float(columns.min(initial=top))
    bottom = 0.0 if low < 0.75 * top or top == 0 else math.floor(low - 0.25 * (top - low))
    scale = 8 * height / (top - bottom) if top > bottom else 0.0
    eighths = np.rint((columns - bottom) * scale).astype(int)
    labels = {height - 1: f"{top:,.0f}", 0: f"{bottom:,.0f}"}
    margin = max(map(len, labels.values()))
    lines = []
    for row in range(height - 1, -1, -1):
        cells = "".join(_EIGHTHS[min(max(e - 8 * row, 0), 8)] for e in eighths.tolist())
        lines.append(f"{labels.get(row, ''):>{margin}} │{cells}".rstrip())
    left, middle, right = edges
    lines.append(f"{'':>{margin}} └{'─' * len(columns)}")
    space = max(len(columns) - len(left) - len(right), 1)
    lines.append(f"{'':>{margin}}  {left}{middle if len(middle) < space else '':^{space}}{right}")
    return lines
