"""Figures: arrays, labels and an `ax` in, the `ax` out. Nothing here computes, and nothing here sees a model."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor


def visible(tokens: Sequence[str]) -> list[str]:
    """Tokens as tick labels: spaces and line breaks shown, dollar signs kept from starting a formula."""
    return [token.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥").replace("$", r"\$") for token in tokens]


def label_tokens(ax: Axes, x: Sequence[str] | None = None, y: Sequence[str] | None = None) -> None:
    """Put tokens on the ticks of an image's axes, one each."""
    if x is not None:
        ax.set_xticks(range(len(x)), visible(x), rotation=90, family="monospace", fontsize=8)
    if y is not None:
        ax.set_yticks(range(len(y)), visible(y), family="monospace", fontsize=8)


def attention(pattern: Float[Tensor, "query key"], tokens: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Heat map of one head's attention pattern, from 0 to 1: rows look, columns are looked at."""
    ax = ax or plt.subplots(figsize=(5.5, 5), layout="constrained")[1]
    image = ax.imshow(np.asarray(pattern), cmap="Blues", vmin=0, vmax=1)
    label_tokens(ax, tokens, tokens)
    ax.set(xlabel="key (looked at)", ylabel="query (looking)")
    ax.figure.colorbar(image, ax=ax, label="attention", shrink=0.7)
    return ax


def heads(patterns: Float[Tensor, "head query key"], *, title: str = "head {}") -> list[Axes]:
    """All heads of a layer side by side, four to a row; a thin line marks where a token looks at itself."""
    n_rows = (len(patterns) + 3) // 4
    fig, axes = plt.subplots(n_rows, 4, figsize=(9, 2.4 * n_rows), layout="constrained", squeeze=False)
    for head, (ax, pattern) in enumerate(zip(axes.flat, patterns)):
        image = ax.imshow(np.asarray(pattern), cmap="Blues", vmin=0, vmax=1)
        ax.axline((0, 0), slope=1, color="grey", linewidth=0.5)
        ax.set(title=title.format(head), xticks=[], yticks=[])
    for ax in axes.flat[len(patterns) :]:
        ax.remove()
    fig.supxlabel("key (looked at)")
    fig.supylabel("query (looking)")
    fig.colorbar(image, ax=axes, label="attention", shrink=0.7)
    return list(axes.flat[: len(patterns)])


def signed(
    matrix: Float[Tensor, "row column"], *, x: Sequence[str] | None = None, y: Sequence[str] | None = None,
    label: str = "", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Heat map of values with a sign (logits, weights, cosines): red above zero, blue below, white at zero."""
    ax = ax or plt.subplots(figsize=(6, 5), layout="constrained")[1]
    limit = float(abs(matrix).max())
    image = ax.imshow(np.asarray(matrix), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    label_tokens(ax, x, y)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.7)
    return ax


def contributions(values: Float[Tensor, " part"], parts: Sequence[str], *, label: str, ax: Axes | None = None) -> Axes:
    """One bar for each part of a sum: red where it adds, blue where it takes away."""
    ax = ax or plt.subplots(figsize=(8, 3), layout="constrained")[1]
    ax.bar(range(len(parts)), np.asarray(values), color=["tab:red" if value > 0 else "tab:blue" for value in values])
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(parts)), parts, rotation=90)
    ax.set(xlabel="part of the stream (layer:head)", ylabel=label)
    return ax


def head_pairs(
    values: Float[Tensor, "write read"], *, limit: float, label: str = "", layers: tuple[int, int] = (0, 1),
    within: tuple[float, float] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Heat map of a signed number for each pair of heads: rows write in one layer, columns read in a later one.

    A dot marks the pairs whose number lies between the two of `within`, the range of random pairs.
    """
    ax = ax or plt.subplots(figsize=(4, 4), layout="constrained")[1]
    image = ax.imshow(np.asarray(values), cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_xticks(range(values.shape[1]), [f"{layers[1]}:{head}" for head in range(values.shape[1])], rotation=90)
    ax.set_yticks(range(values.shape[0]), [f"{layers[0]}:{head}" for head in range(values.shape[0])])
    ax.set(xlabel="head that reads", ylabel="head that writes")
    if within:
        inside = ((values >= within[0]) & (values <= within[1])).nonzero()
        ax.plot(inside[:, 1], inside[:, 0], ".", color="black", markersize=3)
        ax.set_xlabel("head that reads\n(dot: as random pairs)")
    if label:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.7)
    return ax


def side_by_side(patterns: Float[Tensor, "head query key"], titles: Sequence[str], tokens: Sequence[str]) -> list[Axes]:
    """Attention patterns of one prompt in a row, each under its title; the tokens label rows and columns."""
    fig, axes = plt.subplots(
        1, len(patterns), figsize=(4 * len(patterns), 4.6), layout="constrained", sharey=True, squeeze=False
    )
    for ax, pattern, title in zip(axes.flat, patterns, titles):
        image = ax.imshow(np.asarray(pattern), cmap="Blues", vmin=0, vmax=1)
        label_tokens(ax, tokens, tokens)
        ax.set(title=title, xlabel="key (looked at)")
    axes[0, 0].set_ylabel("query (looking)")
    fig.colorbar(image, ax=axes, label="attention", shrink=0.7)
    return list(axes.flat)


def next_tokens(
    first: Float[Tensor, "panel row"], second: Float[Tensor, "panel row"], tokens: Sequence[Sequence[str]],
    after: Sequence[str], *, names: tuple[str, str] = ("weights", "counts"),
) -> list[Axes]:  # fmt: skip
    """A panel for each token in `after`, three to a row, all to one scale: two bars for each next token; ␣ is a space."""
    n_rows = (len(first) + 2) // 3
    size = (10, 2.4 * n_rows)
    axes = plt.subplots(n_rows, 3, figsize=size, layout="constrained", squeeze=False, sharex=True)[1]
    for ax, rows, word, *pair in zip(axes.flat, tokens, after, first, second):
        for shift, values, name, colour in zip((-0.2, 0.2), pair, names, ("tab:blue", "silver")):
            ax.barh([row + shift for row in range(len(rows))], values.tolist(), height=0.4, label=name, color=colour)
        label_tokens(ax, y=[row.replace(" ", "␣") for row in rows])
        ax.set(title=f"after {visible([word.replace(' ', '␣')])[0]}")
        ax.invert_yaxis()
    for ax in axes.flat[len(first) :]:
        ax.remove()
    for ax in axes.flat[max(0, len(first) - 3) : len(first)]:  # the lowest panel of each column
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("probability of coming next")
    axes[0, 0].legend()
    return list(axes.flat[: len(first)])


def agreement(
    across: Float[Tensor, " point"], up: Float[Tensor, " point"], *, x: str, y: str, ax: Axes | None = None
) -> Axes:
    """Density of points in the plane, darker where there are more; equal values lie on the orange diagonal."""
    ax = ax or plt.subplots(figsize=(5, 4), layout="constrained")[1]
    image = ax.hexbin(across, up, gridsize=50, bins="log", cmap="Greys", linewidths=0)
    ax.axline((0, 0), slope=1, color="tab:orange", linewidth=1)
    ax.figure.colorbar(image, ax=ax, label="points per cell", shrink=0.7)
    ax.set(xlabel=x, ylabel=y)
    return ax


def head_scatter(
    across: Float[Tensor, " head"], up: Float[Tensor, " head"], names: Sequence[str], *, band: float = 0.0, x: str = "",
    y: str = "", corner: str = "", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """One named point for each head, from 0 to 1 across and -1 to 1 up.

    A grey band of this half-width about zero, where 95% of random heads fall; the lower right corner named and red.
    """
    ax = ax or plt.subplots(figsize=(7, 4.5), layout="constrained")[1]
    if band:
        ax.axhspan(-band, band, color="lightgrey", label="95% of random heads")
        ax.legend(loc="center right", fontsize=8)
    if corner:
        ax.fill_between((0.5, 1.1), -1.1, -0.5, color="mistyrose")
        ax.text(0.8, -0.8, corner, ha="center", va="center")
    ax.scatter(across, up, s=15)
    taken = list(zip(across.tolist(), up.tolist()))
    around = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1), (2, 0), (2, 1), (2, -1), (2, -2))
    for name, (a, b) in zip(names, taken[:]):  # each name goes to the first free place around its point
        places = [(a + 0.05 * i, b + 0.09 * j) for i, j in around]
        free = [p for p in places if all(abs(p[0] - q[0]) > 0.045 or abs(p[1] - q[1]) > 0.075 for q in taken)]
        taken.append((free or places)[0])
        line = {"arrowstyle": "-", "linewidth": 0.5, "shrinkB": 2}
        ax.annotate(name, (a, b), taken[-1], ha="center", va="center", fontsize=8, arrowprops=line)
    ax.set(xlabel=x, ylabel=y, xlim=(-0.1, 1.1), ylim=(-1.1, 1.1))
    return ax


def curves(
    lines: Mapping[str, Float[Tensor, " index"]], *, x: str, y: str,
    colours: Sequence[str] = ("C0", "C1", "C2", "C3", "C4", "C5"), ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """One labelled curve each, over 1, 2, 3, …"""
    ax = ax or plt.subplots(figsize=(4, 3), layout="constrained")[1]
    for (name, values), style, colour in zip(lines.items(), ("-", "-", "-", ":", ":", "--"), colours):
        ax.plot(range(1, len(values) + 1), values, style, color=colour, label=name)
    ax.set(xlabel=x, ylabel=y)
    ax.legend(fontsize=8)
    return ax
