"""Drawings of what paths are worth: the paper's runs, one order more in each, and two ways to share out a gain."""

from collections.abc import Sequence

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, FROZEN, OV, PLAIN, QUIET, STREAM, Number, Point

KEPT = (("0",), ("1",)), (("0",), ("1", "0 → 1"))  # in steps 2 and 3, by layer: the paths that are kept
STREAMS = "direct", "direct, 0, 1", "direct, 0, 1, 0 → 1"


def ordered_runs(*, ax: Axes | None = None) -> Axes:
    """Steps 2, 3 and 4 of term importance for two layers: heads read, but what they gave one step ago is passed on."""
    ax = pen.canvas(9, 4.5, ax)
    bands = 0.95, 3.95, 6.95
    for step, (x, paths) in enumerate(zip(bands, STREAMS)):
        pen.write(ax, (x + 0.55, 4.3), f"step {step + 2}", weight="bold")
        pen.band(ax, (x - 0.2, 0.75), (0.4, 2.75))
        pen.arrow(ax, (x, 0.75), (x, 3.75))
        pen.write(ax, (x, 0.6), "embedding", size=8, colour=STREAM.line)
        pen.write(ax, (x + 0.12, 3.88), paths, size=8, colour=STREAM.line)
        for layer, low in enumerate((1.0, 2.3)):
            _layer(ax, x, low, layer, KEPT[step][layer] if step < 2 else ())
            if step == 0:
                pen.box(ax, (x - 0.62, low + 0.85), (0.36, 0.28), "0", look=PLAIN, kind="passed on")
                pen.arrow(ax, (x - 0.44, low + 0.85), (x - 0.12, low + 0.85), look=PLAIN)
            else:
                pen.arrow(ax, (x - 0.88, low + 0.85), (x - 0.12, low + 0.85), look=CHOSEN, kind="passed on")
            pen.sign(ax, (x, low + 0.85), "+", look=PLAIN if step == 0 else CHOSEN)
    for x, words in zip(bands, ("loss of order 0", "loss up to order 1", "loss up to order 2:\nthe whole model")):
        pen.write(ax, (x + 0.4, 0.28), words, size=9)
    return ax


def _layer(ax: Axes, x: Number, low: Number, layer: int, kept: Sequence[str]) -> None:
    """The heads of a layer, which read the stream at x with stored patterns; and what is kept of them."""
    pen.dot(ax, (x, low + 0.3), size=4)
    pen.arrow(ax, (x, low + 0.3), (x + 0.42, low + 0.3))
    pen.box(ax, (x + 0.86, low + 0.3), (0.86, 0.36), f"layer {layer}", look=OV, kind="heads", rounded=True, letters=8)
    pen.snowflake(ax, (x + 0.86, low - 0.02))
    if kept:
        pen.arrow(ax, (x + 1.29, low + 0.3), (x + 1.7, low + 0.3), (x + 1.7, low + 0.66), look=CHOSEN)
        pen.box(ax, (x + 1.7, low + 0.85), (0.84, 0.38), ", ".join(kept), look=CHOSEN, kind="kept", letters=8)
        pen.write(ax, (x + 1.7, low + 1.14), "kept", size=8, colour=CHOSEN.line)
    else:
        pen.write(ax, (x + 0.86, low + 0.62), "not used", size=8, colour=QUIET)


def two_routes(
    *, names: tuple[str, str], losses: tuple[Number, Number, Number, Number], ax: Axes | None = None
) -> Axes:  # fmt: skip
    """Two terms are added one after the other, in both orders: a loss at each corner, a gain along each arrow.

    `losses` are without either, with the first, with the second, with both.
    """
    ax = pen.canvas(8, 3.7, ax)
    corners = {"": (1.1, 1.85), "first": (4, 3.1), "second": (4, 0.6), "both": (6.9, 1.85)}
    words = "direct path", f"direct path, {names[0]}", f"direct path, {names[1]}", f"direct path, {' and '.join(names)}"
    for (x, y), text, loss in zip(corners.values(), words, losses):
        pen.box(ax, (x, y), (2.1, 0.72), look=PLAIN, kind="sum")
        pen.write(ax, (x, y + 0.15), text, size=8)
        pen.write(ax, (x, y - 0.15), f"loss {loss:.2f}", size=11)
    none, first, second, both = losses
    steps = (
        ("", "first", f"{names[0]} alone\nwins {none - first:.2f}", 0.28),
        ("", "second", f"{names[1]} alone\nwins {none - second:.2f}", -0.28),
        ("first", "both", f"{names[1]} given {names[0]}\nwins {first - both:.2f}", 0.28),
        ("second", "both", f"{names[0]} given {names[1]}\nwins {second - both:.2f}", -0.28),
    )
    for start, end, text, beside in steps:
        _step(ax, corners[start], corners[end], text, beside, (OV, FROZEN)[text.startswith(names[1])])
    return ax


def _step(ax: Axes, start: Point, end: Point, text: str, beside: Number, look: pen.Look) -> None:
    """An arrow from one corner's box to the next, with its gain beside it."""
    up = 0.36 if end[1] > start[1] else -0.36
    if start[0] < 2:
        begin, stop = (start[0], start[1] + up), (end[0] - 1.05, end[1])
        pen.arrow(ax, begin, (begin[0], stop[1]), stop, look=look, width=2)
        place = (begin[0] + 0.08, stop[1] + (0.27 if up > 0 else -0.27))
    else:
        begin, stop = (start[0] + 1.05, start[1]), (end[0], end[1] - up)
        pen.arrow(ax, begin, (stop[0], begin[1]), stop, look=look, width=2)
        place = (stop[0] - 0.08, begin[1] + (0.27 if beside > 0 else -0.27))
    pen.write(ax, place, text, size=9, colour=look.line)
