"""Figures of the residual stream's coordinates, directions and subspaces."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor


def coordinate_shares(panels: Mapping[str, Float[Tensor, " coordinate"]], *, y: str) -> list[Axes]:
    """Side by side, a bar for each coordinate and its share, from 0 to 1; the largest is named with its percentage."""
    axes = plt.subplots(1, len(panels), figsize=(9, 3), layout="constrained", sharey=True, squeeze=False)[1]
    for ax, (title, shares) in zip(axes.flat, panels.items()):
        largest = int(shares.argmax())
        ax.bar(range(len(shares)), shares.tolist(), width=1.5, color="tab:blue")
        name = f"coordinate {largest}: {100 * float(shares[largest]):.1f}%"
        side = 1 if largest < len(shares) / 2 else -1
        place = {"xytext": (8 * side, 5), "textcoords": "offset points", "ha": "left" if side > 0 else "right"}
        ax.annotate(name, (largest, float(shares[largest])), **place)
        ax.set(title=title, xlabel="coordinate of the stream")
    axes[0, 0].set(ylabel=y, ylim=(0, 1.15 * max(float(shares.max()) for shares in panels.values())))
    return list(axes.flat)


def shared_directions(
    lines: Mapping[str, Float[Tensor, " angle"]], band: tuple[Float[Tensor, " angle"], Float[Tensor, " angle"]],
    *, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Cosines of principal angles, one falling curve for each named pair of spaces, over the band of random pairs."""
    ax = ax or plt.subplots(figsize=(6.5, 3.8), layout="constrained")[1]
    index = range(1, len(band[0]) + 1)
    ax.fill_between(index, *band, color="lightgrey", label="random pairs, lowest to highest")
    styles = (("tab:red", "-"), ("tab:blue", "--"), ("tab:green", ":"))
    for (name, cosines), (colour, style) in zip(lines.items(), styles):
        ax.plot(index, cosines, style, color=colour, label=name)
    ax.set(xlabel="principal angle, smallest angle first", ylabel="cosine (1: shared, 0: a right angle)", ylim=(0, 1))
    ax.legend(fontsize=8)
    return ax


def two_shares(
    clouds: Mapping[str, tuple[Float[Tensor, " direction"], Float[Tensor, " direction"]]], *, x: str, y: str,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A point for each direction: how much one matrix uses it against how much another does, on equal log scales."""
    ax = ax or plt.subplots(figsize=(4, 4), layout="constrained")[1]
    for (label, (across, up)), colour in zip(clouds.items(), ("grey", "tab:purple")):
        ax.scatter(across, up, s=8, label=label, color=colour)
    ax.axline((1, 1), (2, 2), color="grey", linestyle="--", linewidth=0.8)
    ticks = (0.1, 0.3, 1, 3, 10, 30, 100)
    for set_scale, axis in ((ax.set_xscale, ax.xaxis), (ax.set_yscale, ax.yaxis)):
        set_scale("log")
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    ax.set(xlabel=x, ylabel=y)
    ax.legend(fontsize=8)
    return ax
