"""Figures of the residual stream's coordinates, and of the wires between heads."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from walkthrough.figures.basics import head_pairs

NAMED = 0.05  # the share from which on a coordinate is named


def coordinate_shares(panels: Mapping[str, Float[Tensor, " coordinate"]], *, y: str) -> list[Axes]:
    """Side by side, a bar for each coordinate and its share, from 0 to 1.

    The largest is named with its percentage, and so is every other one of at least 5%.
    """
    axes = plt.subplots(1, len(panels), figsize=(9, 3), layout="constrained", sharey=True, squeeze=False)[1]
    for ax, (title, shares) in zip(axes.flat, panels.items()):
        ax.bar(range(len(shares)), shares.tolist(), width=1.5, color="tab:blue")
        for coordinate in {int(shares.argmax()), *(shares >= NAMED).nonzero().flatten().tolist()}:
            share = float(shares[coordinate])
            right = coordinate < 0.7 * len(shares)
            place = {
                "xytext": (6 if right else -6, 3),
                "textcoords": "offset points",
                "ha": "left" if right else "right",
            }
            ax.annotate(f"coordinate {coordinate}: {100 * share:.1f}%", (coordinate, share), **place)
        ax.set(title=title, xlabel="coordinate of the stream")
    axes[0, 0].set(ylabel=y, ylim=(0, 1.15 * max(float(shares.max()) for shares in panels.values())))
    return list(axes.flat)


def wire_strengths(
    panels: Mapping[str, Float[Tensor, "write read"]], *, chance: float, within: Mapping[str, tuple[float, float]]
) -> list[Axes]:
    """Side by side, the strength of each wire above chance: rows write in layer 0, columns read in layer 1.

    A dot marks the pairs whose strength lies in that panel's range `within`, which is given in strengths.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(9, 3.4), layout="constrained", squeeze=False)
    limit = max(float((table - chance).abs().max()) for table in panels.values())
    for ax, (title, table) in zip(axes.flat, panels.items()):
        low, high = within[title]
        head_pairs(table - chance, limit=limit, within=(low - chance, high - chance), ax=ax)
        ax.set(title=title, xlabel="head that reads")
    fig.colorbar(axes[0, -1].images[0], ax=axes, label=f"wire strength minus chance, {chance:.4f}", shrink=0.7)
    return list(axes.flat)
