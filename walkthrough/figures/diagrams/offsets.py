"""Drawings of a convolution beside an attention layer."""

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import OV, PLAIN, QK, QUIET, Point


def offsets_and_heads(*, ax: Axes | None = None) -> Axes:
    """Left, a pixel made of three neighbours, a matrix for each offset; right, a token made of others, one for each head."""
    ax = pen.canvas(8, 3.3, ax)
    pen.write(ax, (1.9, 3.1), "convolution: a matrix for each offset")
    pen.write(ax, (6.1, 3.1), "attention: a matrix for each head")
    places = [0.5 + 0.7 * n for n in range(5)]
    for n, x in enumerate(places):
        pen.box(ax, (x, 2.5), (0.6, 0.4), f"pixel {n}", kind="pixel", letters=8)
    pen.box(ax, (places[2], 0.85), (0.9, 0.4), "pixel 2", kind="pixel", letters=8)
    for offset in (-1, 0, 1):
        _read(ax, (places[2 + offset], 2.28), (places[2] + 0.3 * offset, 1.07), f"$W_{{{offset}}}$")
    pen.write(ax, (1.9, 0.4), "where it looks is the same\nfor each pixel and each picture", size=8, colour=QUIET)
    words = ["for", "name", "in", "names", ":"]
    spots = [4.7 + 0.7 * n for n in range(5)]
    for x, word in zip(spots, words):
        pen.box(ax, (x, 2.5), (0.6, 0.4), word, kind="token", letters=8, mono=True)
    pen.box(ax, (spots[4], 0.85), (0.6, 0.4), ":", kind="token", letters=8, mono=True)
    _read(ax, (spots[0], 2.28), (spots[4] - 0.18, 1.07), "$W_{OV}$ of head 0")
    _read(ax, (spots[3], 2.28), (spots[4] + 0.1, 1.07), "$W_{OV}$ of head 1", high=0.25)
    pen.write(ax, (6.1, 0.4), "where it looks is decided anew\nby the tokens of each text", size=8, colour=QUIET)
    return ax


def _read(ax: Axes, start: Point, end: Point, matrix: str, high: float = 0.5) -> None:
    """An arrow along which something is read: its first half says where (dashed), its second what is moved."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    pen.arrow(ax, start, middle, look=QK, tip=False, kind="looks")
    pen.arrow(ax, middle, end, look=OV, kind="moves")
    at = (start[0] + high * (end[0] - start[0]), start[1] + high * (end[1] - start[1]))
    pen.write(
        ax, at, matrix, size=8, bbox={"facecolor": PLAIN.fill, "edgecolor": OV.line, "pad": 1.5, "linewidth": 0.6}
    )
