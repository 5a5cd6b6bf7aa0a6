"""A drawing of small tables at work: mixtures of two tokens before and after."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, FROZEN, OV, QUIET, Point

Pair = tuple[float | int, float | int]
UNIT, SPACE = 0.3, 2.7  # inches of a mixture of length 1, and of a panel


def mixtures(
    panels: Mapping[str, tuple[tuple[Pair, Pair], Sequence[Pair]]], names: tuple[str, str], *, ax: Axes | None = None
) -> Axes:  # fmt: skip
    """For each title a table over two tokens and some mixtures: each mixture in grey, and what the table makes of it.

    Green if it comes out along itself, blue and dashed if against itself, purple if turned. `names` are those of the axes.
    """
    ax = pen.canvas(SPACE * len(panels), 2.95, ax)
    for n, (title, (table, given)) in enumerate(panels.items()):
        origin = (SPACE * (n + 0.5), 1.05)
        pen.write(ax, (origin[0], 2.78), title, weight="bold")
        for token, end in zip(names, ((1.2, 0), (0, 1.35))):
            tip = (origin[0] + end[0], origin[1] + end[1])
            tail = (origin[0] - 0.9 * (end[0] > 0), origin[1] - 0.9 * (end[1] > 0))
            pen.arrow(ax, tail, tip, look=pen.FAINT, width=0.6)
            pen.write(ax, (tip[0] - 0.1 * (end[0] > 0), tip[1] + (-0.16 if end[0] else 0.12)), token, size=8, mono=True)
        for mixture in given:
            _before_and_after(ax, origin, table, mixture)
    return ax


def _before_and_after(ax: Axes, origin: Point, table: tuple[Pair, Pair], mixture: Pair) -> None:
    """One mixture, and the mixture of logits that the table makes of it, with its factor where it has one."""
    made = tuple(mixture[0] * table[0][out] + mixture[1] * table[1][out] for out in (0, 1))
    along = (made[0] * mixture[0] + made[1] * mixture[1]) / (mixture[0] ** 2 + mixture[1] ** 2)
    straight = max(abs(made[i] - along * mixture[i]) for i in (0, 1)) < 1e-9
    look = CHOSEN if not straight else OV if along > 0 else FROZEN._replace(dash=(0, (3, 1.5)))
    place = lambda pair: (origin[0] + UNIT * pair[0], origin[1] + UNIT * pair[1])
    pen.arrow(ax, origin, place(made), look=look, width=2.4, kind="after", level=4)
    pen.arrow(ax, origin, place(mixture), look=pen.PLAIN._replace(line=QUIET), width=1.2, kind="before", level=5)
    if straight:
        length = (made[0] ** 2 + made[1] ** 2) ** 0.5
        beyond = (made[0] + 0.75 * made[0] / length, made[1] + 0.75 * made[1] / length)
        if made[0] == 0:  # beside the axis, not on it
            beyond = (-0.9, made[1])
        pen.write(ax, place(beyond), f"× {along:g}".replace("-", "−"), colour=look.line)
