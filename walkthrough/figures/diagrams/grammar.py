"""The parts that all drawings are made of. One unit of a drawing is one inch of its figure."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text

Number = float | int
Point = tuple[Number, Number]


class Look(NamedTuple):
    """How one kind of thing is drawn: its inside, its lines, and what those are made of."""

    fill: str
    line: str
    dash: str | tuple[Number, tuple[Number, ...]] = "-"


INK, QUIET = "#1f1f1f", "#5c5c5c"
STREAM = Look("#d3dfea", "#4f6f8f")  # the residual stream, and what is read from it
QK = Look("#fde3c8", "#b8500a", (0, (3.5, 1.5)))  # where a head looks: dashed
OV = Look("#cdeadb", "#08704d")  # what a head moves
DIRECT = Look("#e6e6e6", "#000000")  # the path past all heads
PLAIN = Look("#ffffff", "#333333")  # tokens, and heads of which nothing is said
CHOSEN = Look("#ecd5f0", "#86288f")  # the one path that a drawing is about
FROZEN = Look("#dcf0fb", "#1272ab")  # a stored pattern
FAINT = Look("#f4f4f4", "#9a9a9a")
GRID = Look("#ffffff", "#c4c4c4")


def canvas(width: Number, height: Number, ax: Axes | None = None) -> Axes:
    """Empty axes of so many units, without ticks or frame; a new figure of that size in inches where none is given."""
    ax = ax or plt.figure(figsize=(width, height), dpi=100, facecolor="white", layout="none").add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return ax


def positive(**counts: int) -> None:
    """Raise ValueError if one of these numbers is below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}, and the drawing needs at least 1")


def some(count: int, most: int, keep: Iterable[int] = ()) -> list[int | None]:
    """The numbers below `count`; of more than `most`, the first ones, those to keep and the last, None for each gap."""
    if count <= most:
        return list(range(count))
    shown = sorted({*range(most - 2), *keep, count - 1})
    return [n for a, b in zip([-1, *shown], shown) for n in ([b] if b == a + 1 else [None, b])]


def write(
    ax: Axes, at: Point, text: str, *, size: Number = 9, colour: str = INK, across: str = "center",
    up: str = "center", mono: bool = False, **how: object,
) -> Text:  # fmt: skip
    """Put text at a place; `across` and `up` say which part of it lies there."""
    family = "DejaVu Sans Mono" if mono else "DejaVu Sans"
    how = {"zorder": 6, "usetex": False, "linespacing": 1.25} | how
    return ax.text(*at, text, fontsize=size, color=colour, ha=across, va=up, family=family, **how)


def shape(rows: int, columns: int) -> str:
    """A matrix's shape as it is written under it."""
    return f"[{rows} × {columns}]"


def box(
    ax: Axes, at: Point, size: Point, text: str = "", *, look: Look = PLAIN, kind: str = "", rounded: bool = False,
    width: Number = 1.2, letters: Number = 9, mono: bool = False,
) -> None:  # fmt: skip
    """A box with its centre at a place, with text in it; `kind` names it, so that boxes of a kind can be counted."""
    corner = (at[0] - size[0] / 2, at[1] - size[1] / 2)
    style = f"round,pad=0,rounding_size={0.3 * min(size)}" if rounded else "square,pad=0"
    lines = {"facecolor": look.fill, "edgecolor": look.line, "linewidth": width, "linestyle": look.dash}
    ax.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, zorder=4, gid=kind or None, **lines))
    if text and mono:  # on a line, so that a full stop lies low and the dot of a space does not
        write(ax, (at[0], at[1] - 0.0045 * letters), text, size=letters, mono=True, up="baseline")
    elif text:
        write(ax, at, text, size=letters)


def band(ax: Axes, corner: Point, size: Point, *, level: Number = 1) -> None:
    """A stretch of the residual stream, from its lower left corner, with lines along its two long sides."""
    ax.add_patch(Rectangle(corner, *size, facecolor=STREAM.fill, edgecolor="none", zorder=level, gid="stream"))
    along = ([corner[0], corner[0] + size[0]], [corner[1], corner[1] + size[1]])
    for side in (0, 1):
        ends = ([along[0][side]] * 2, along[1]) if size[1] > size[0] else (along[0], [along[1][side]] * 2)
        ax.plot(*ends, color=STREAM.line, linewidth=1, zorder=level, solid_capstyle="butt")


def dot(ax: Axes, at: Point, *, look: Look = STREAM, size: Number = 5) -> None:
    """A dot where something is read, or where lines meet."""
    ax.plot(*at, "o", color=look.line, markersize=size, zorder=5)


def arrow(
    ax: Axes, *points: Point, look: Look = STREAM, width: Number = 1.4, tip: bool = True, bend: Number = 0.07,
    kind: str = "", level: Number = 3,
) -> FancyArrowPatch:  # fmt: skip
    """A line through points with an arrow's tip at the last; its corners are rounded by about `bend`."""
    path, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:]):
        path += [_toward(corner, before, bend), corner, _toward(corner, after, bend)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    whole = Path([*path, points[-1]], [*codes, Path.LINETO])
    style = f"-|>,head_length={0.32 + 0.06 * width},head_width={0.14 + 0.04 * width}" if tip else "-"
    lines = {"color": look.line, "linewidth": width, "linestyle": look.dash, "joinstyle": "miter", "capstyle": "butt"}
    how = {"arrowstyle": style, "mutation_scale": 12, "zorder": level, "gid": kind or None}
    return ax.add_patch(FancyArrowPatch(path=whole, **how, **lines))


def _toward(start: Point, end: Point, far: Number) -> Point:
    """The point so far from the start on the way to the end, at most half way."""
    share = min(0.5, far / max(math.dist(start, end), 1e-9))
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def funnel(
    ax: Axes, at: Point, sides: Point, name: str, sizes: tuple[int, int], *, look: Look, width: Number = 0.6
) -> None:
    """A matrix between two spaces, as high on each side as that space is large; its shape is written under it."""
    (x, y), (left, right) = at, sides
    corners = [(x - width / 2, y - left / 2), (x - width / 2, y + left / 2)]
    corners += [(x + width / 2, y + right / 2), (x + width / 2, y - right / 2)]
    lines = {"facecolor": look.fill, "edgecolor": look.line, "linewidth": 1.2}
    ax.add_patch(Polygon(corners, closed=True, zorder=4, gid="matrix", joinstyle="round", **lines))
    write(ax, at, name, size=11)
    write(ax, (x, y - max(sides) / 2 - 0.14), shape(*sizes), size=8, colour=QUIET)


def named(ax: Axes, at: Point, name: str, sizes: tuple[int, int]) -> None:
    """A matrix as a box with its name and its shape in it, where there is no room for a funnel."""
    box(ax, at, (1.3, 0.54), look=STREAM, kind="matrix")
    write(ax, (at[0], at[1] + 0.1), name, size=11)
    write(ax, (at[0], at[1] - 0.14), shape(*sizes), size=8, colour=QUIET)


def panel(ax: Axes, at: Point, size: Point, *, look: Look) -> None:
    """A pale ground, under everything, for what belongs together."""
    corner = (at[0] - size[0] / 2, at[1] - size[1] / 2)
    ground = FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.12", zorder=0.2, gid="panel")
    ground.set(facecolor=(*to_rgb(look.fill), 0.3), edgecolor=look.line, linewidth=0.6, linestyle=look.dash)
    ax.add_patch(ground)


def sign(ax: Axes, at: Point, which: str, *, look: Look = PLAIN, radius: Number = 0.12) -> None:
    """A circle in which two things become one: + for a sum, × for a multiple, · for a dot product."""
    lines = {"facecolor": "white", "edgecolor": look.line, "linewidth": 1.2}
    ax.add_patch(Circle(at, radius, zorder=5, gid=f"sign {which}", **lines))
    reach = 0.55 * radius
    bars = {"+": ((1, 0), (0, 1)), "×": ((0.75, 0.75), (0.75, -0.75)), "·": ()}[which]
    for across, up in bars:
        xs, ys = (at[0] - reach * across, at[0] + reach * across), (at[1] - reach * up, at[1] + reach * up)
        ax.plot(xs, ys, color=look.line, linewidth=1.4, zorder=6)
    if not bars:
        ax.plot(*at, "o", color=look.line, markersize=4, zorder=6)


def pattern(ax: Axes, at: Point, size: Number, *, look: Look) -> None:
    """A small attention pattern: a lower triangle of cells, since nobody looks ahead."""
    cell, left, top = size / 4, at[0] - size / 2, at[1] + size / 2
    for query, key in [(a, b) for a in range(4) for b in range(a + 1)]:
        colour = look.line if (query + 2 * key) % 3 == 0 else look.fill
        lines = {"facecolor": colour, "edgecolor": look.line, "alpha": 0.85, "linewidth": 0.6}
        ax.add_patch(Rectangle((left + key * cell, top - (query + 1) * cell), cell, cell, zorder=4, **lines))
    frame = {"fill": False, "edgecolor": look.line, "linewidth": 1.2}
    ax.add_patch(Rectangle((left, top - size), size, size, zorder=4, gid="pattern", **frame))


def snowflake(ax: Axes, at: Point) -> None:
    """The sign of a frozen thing: a star of six arms."""
    how = {"color": FROZEN.line, "markeredgewidth": 1.8, "zorder": 6, "gid": "snowflake"}
    ax.plot(*at, marker=(6, 2, 0), markersize=16, **how)
