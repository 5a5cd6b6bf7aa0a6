"""A drawing of features as directions: more arrows than axes."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

import walkthrough.figures.diagrams.grammar as pen
from walkthrough.figures.diagrams.grammar import CHOSEN, QUIET, STREAM, Point

SPACE, LENGTH = 2.2, 0.72  # inches of a panel, and of an arrow of length 1


def directions(panels: Mapping[str, Sequence[Point]], *, ax: Axes | None = None) -> Axes:
    """For each title the directions of some features in a plane, as arrows from one point, numbered from 0.

    Raises ValueError without a panel.
    """
    pen.positive(panels=len(panels))
    ax = pen.canvas(SPACE * len(panels), 2.5, ax)
    for n, (title, arrows) in enumerate(panels.items()):
        origin = (SPACE * (n + 0.5), 1.02)
        pen.write(ax, (origin[0], 2.22), title, weight="bold")
        for across, up in ((0.98, 0), (0, 0.98)):
            ends = ([origin[0] - across, origin[0] + across], [origin[1] - up, origin[1] + up])
            ax.plot(*ends, color=QUIET, linewidth=0.6, linestyle=":", zorder=1)
        for i, (x, y) in enumerate(arrows):
            look = STREAM if i < 2 else CHOSEN
            tip = (origin[0] + LENGTH * x, origin[1] + LENGTH * y)
            pen.arrow(ax, origin, tip, look=look, width=2, kind="feature")
            pen.write(ax, (origin[0] + 0.88 * x, origin[1] + 0.88 * y), str(i), colour=look.line)
    return ax
