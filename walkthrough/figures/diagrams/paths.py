"""Drawings of runs taken apart: patterns frozen, and a product of layers multiplied out into paths."""

from collections.abc import Sequence
from itertools import combinations, pairwise, product

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import DIRECT, FAINT, FROZEN, OV, QK, QUIET, STREAM, Number, Point


def freezing(*, n_layers: int = 1, ax: Axes | None = None) -> Axes:
    """Run once and store the attention patterns; run again with the patterns forced, and all the rest is linear.

    Raises ValueError for no layers.
    """
    pen.positive(n_layers=n_layers)
    height = 1.8 + 1.45 * n_layers
    ax = pen.canvas(8, height, ax)
    pen.write(ax, (1.75, height - 0.2), "1. run once", weight="bold")
    pen.write(ax, (6.25, height - 0.2), "2. run again, patterns forced", weight="bold")
    pen.write(ax, (1.75, 0.2), "the pattern depends on the tokens")
    pen.write(ax, (6.25, 0.2), "every step that is left is linear")
    pen.write(ax, (4, 0.2), "(one head a layer is drawn)", size=8, colour=QUIET)
    for x, word in ((0.6, "the text"), (7.4, "any stream")):
        pen.band(ax, (x - 0.22, 0.65), (0.44, height - 1.2))
        pen.arrow(ax, (x, 0.65), (x, height - 0.6))
        pen.write(ax, (x, 0.5), word, size=8, colour=STREAM.line)
    for layer in range(n_layers):
        low = 0.85 + 1.45 * layer
        _frozen_layer(ax, low + 0.35, low + 1.05)
        if n_layers > 1:
            pen.write(ax, (4, low + 1.05), f"layer {layer}", weight="bold")
    return ax


def _frozen_layer(ax: Axes, under: Number, over: Number) -> None:
    """A layer twice: on the left its pattern is computed and stored, on the right the stored one is used instead."""
    for stream, toward, look in ((0.6, 1, QK), (7.4, -1, FROZEN)):
        near, middle, far, grid = (stream + step * toward for step in (0.55, 1.2, 1.85, 2.4))
        pen.dot(ax, (stream, over - 0.1), look=OV, size=4)
        pen.arrow(ax, (stream, over - 0.1), (near, over - 0.1), look=OV)
        pen.arrow(ax, (near, over + 0.1), (stream + 0.12 * toward, over + 0.1), look=OV)
        pen.sign(ax, (stream, over + 0.1), "+", look=OV, radius=0.1)
        pen.box(ax, (middle, over), (1.3, 0.42), "$A \\otimes W_{OV}$", look=OV, rounded=True, letters=10)
        pen.pattern(ax, (grid, under), 0.56, look=look)
        pen.write(ax, (grid, under - 0.4), "$A$", size=10)
        pen.arrow(ax, (grid, under + 0.28), (grid, over), (far, over), look=look)
    pen.dot(ax, (0.6, under), look=QK, size=4)
    pen.arrow(ax, (0.6, under), (1.1, under), look=QK)
    pen.box(ax, (1.6, under), (1, 0.34), "QK, softmax", look=QK, rounded=True, letters=8)
    pen.arrow(ax, (2.1, under), (2.71, under), look=QK)
    pen.dot(ax, (7.4, under), look=FAINT, size=4)
    pen.arrow(ax, (7.4, under), (6.9, under), look=FAINT)
    pen.box(ax, (6.4, under), (1, 0.34), look=FAINT._replace(dash=QK.dash), rounded=True)
    pen.write(ax, (6.4, under), "QK, softmax", size=8, colour=QUIET)
    pen.write(ax, (6.4, under - 0.29), "result not used", size=8, colour=QUIET)
    pen.arrow(ax, (3.3, under), (4.71, under), look=FROZEN, width=2.5, kind="store")
    pen.write(ax, (4, under - 0.17), "stored pattern", size=8, colour=FROZEN.line)
    pen.snowflake(ax, (3.72, under + 0.2))
    pen.write(ax, (3.92, under + 0.2), "frozen", size=9, colour=FROZEN.line, across="left")


def path_expansion(*, n_layers: int, n_heads: int, ax: Axes | None = None) -> Axes:
    """A product of layers on the left, each the identity plus its heads; on the right the sum of all paths.

    Past eight heads some are left out; the counts are of all. Raises ValueError but for one to three layers with heads.
    """
    pen.positive(n_layers=n_layers, n_heads=n_heads)
    if n_layers > 3:
        raise ValueError(f"{n_layers} layers have too many kinds of paths for a drawing: take at most 3")
    heads = pen.some(n_heads, 8)
    pitch = 0.25 if n_layers == 1 else 0.12
    kinds = [kind for n in range(n_layers + 1) for kind in combinations(range(n_layers), n)]
    rows = [max(0.36, pitch * len(heads) + 0.15) if kind else 0.3 for kind in kinds]
    height = max(sum(rows) + 0.6, 0.24 * len(heads) + 1.6)
    ax = pen.canvas(8.5, height, ax)
    count = f"1 + {n_heads}" if n_layers == 1 else f"$(1 + {n_heads})^{n_layers}$"
    title = "one layer" if n_layers == 1 else f"a product of {n_layers} layers"
    pen.write(ax, (2.05, height - 0.2), title, weight="bold")
    pen.write(ax, (5.8, height - 0.2), f"a sum of {count} = {(1 + n_heads) ** n_layers} paths", weight="bold")
    _product(ax, height - 0.6, n_layers, heads, n_heads)
    pen.write(ax, (4.25, height - 0.6), "=", size=14)
    for x, name in ((4.7, "$W_E$"), (6.9, "$W_U$")):
        pen.box(ax, (x, height - 0.45 - sum(rows) / 2), (0.34, sum(rows)), name, look=STREAM, letters=11)
    y = height - 0.45
    for kind, row in zip(kinds, rows):
        places = {layer: 4.87 + 1.86 * (layer + 0.5) / n_layers for layer in kind}
        _paths(ax, (4.87, y - row / 2), (6.73, y - row / 2), places, heads, pitch)
        pen.write(ax, (7.15, y - row / 2), _count(kind, n_layers, n_heads), size=8, across="left")
        y -= row
    return ax


def _count(kind: tuple[int, ...], n_layers: int, n_heads: int) -> str:
    """How many paths are of a kind, and what they are called."""
    if len(kind) < 2:
        layer = "" if n_layers == 1 else f"\nof layer {kind[0]}" if kind else ""
        return f"{n_heads} head{'s' * (n_heads > 1)}{layer}" if kind else "1 direct path"
    which = " × ".join([f"{n_heads}"] * len(kind)) if n_layers == 2 else "layers " + ", ".join(map(str, kind))
    return f"{n_heads ** len(kind)} virtual head{'s' * (n_heads > 1)}:\n{which}"


def _stack(
    ax: Axes, at: Point, layer: int, heads: Sequence[int | None], pitch: Number, half: Number, kind: str
) -> list[Point]:
    """Heads over one another around a place; the places of those that are drawn. Named where there is room."""
    places = [(at[0], at[1] + pitch * ((len(heads) - 1) / 2 - i)) for i in range(len(heads))]
    for head, place in zip(heads, places):
        if head is None:
            pen.write(ax, place, "…")
            continue
        name = f"{layer}:{head}" if half > 0.2 else ""
        size = (2 * half, 0.75 * pitch)
        pen.box(ax, place, size, name, look=OV, kind=kind, width=0.9, letters=8, rounded=True)
    return [place for head, place in zip(heads, places) if head is not None]


def _product(ax: Axes, top: Number, n_layers: int, heads: Sequence[int | None], n_heads: int) -> None:
    """Layers in a row, on a line that passes by their heads; in each layer a token takes the line or a head."""
    pen.arrow(ax, (0.05, top), (0.3, top), look=DIRECT)
    pen.arrow(ax, (0.7, top), (3.4, top), look=DIRECT, width=2)
    pen.arrow(ax, (3.8, top), (4.02, top), look=DIRECT)
    for x, name in ((0.5, "$W_E$"), (3.6, "$W_U$")):
        pen.box(ax, (x, top), (0.4, 0.34), name, look=STREAM, letters=10)
    pen.dot(ax, (0.85, top), look=DIRECT, size=4)
    joints = [0.85 + 2.35 * layer / n_layers for layer in range(n_layers + 1)]
    for layer, (left, right) in enumerate(pairwise(joints)):
        middle, low = (left + right) / 2, top - 0.25 - 0.12 * len(heads)
        for _, y in _stack(ax, (middle, low), layer, heads, 0.24, 0.22, "head in the product"):
            pen.arrow(ax, (left, top), (middle - 0.22, y), look=OV, width=0.8, tip=False)
            pen.arrow(ax, (middle + 0.22, y), (right, top), look=OV, width=0.8, tip=False)
        pen.sign(ax, (right, top), "+", radius=0.09)
        words = f"layer {layer}:\nskip, or one\nof {n_heads} head{'s' * (n_heads > 1)}"
        pen.write(ax, (middle, low - 0.12 * len(heads) - 0.15), words, size=8, up="top")


def _paths(
    ax: Axes, start: Point, end: Point, places: dict[int, float], heads: Sequence[int | None], pitch: Number
) -> None:
    """All paths of a kind: from the start to the end through a head of each of these layers, which are at places."""
    half, look = 0.22 if pitch > 0.2 else 0.15, OV if places else DIRECT
    how = {"look": look, "width": (2, 0.8, 0.4, 0.3)[len(places)], "tip": not places, "kind": "branch"}
    left = [start]
    for layer, x in places.items():
        stack = _stack(ax, (x, start[1]), layer, heads, pitch, half, "head in the sum")
        for here, (_, y) in product(left, stack):
            pen.arrow(ax, here, (x - half, y), **how)
        left = [(x + half, y) for _, y in stack]
    for here in left:
        pen.arrow(ax, here, end, **how)
