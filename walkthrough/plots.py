"""Figures: arrays, labels and an `ax` in, the `ax` out. Nothing here computes, and nothing here sees a model."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
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
    image = ax.imshow(pattern, cmap="Blues", vmin=0, vmax=1)
    label_tokens(ax, tokens, tokens)
    ax.set(xlabel="key (looked at)", ylabel="query (looking)")
    ax.figure.colorbar(image, ax=ax, label="attention", shrink=0.7)
    return ax


def heads(patterns: Float[Tensor, "head query key"], *, title: str = "head {}") -> list[Axes]:
    """All heads of a layer side by side, four to a row, without token labels."""
    n_rows = (len(patterns) + 3) // 4
    fig, axes = plt.subplots(n_rows, 4, figsize=(9, 2.4 * n_rows), layout="constrained", squeeze=False)
    for head, (ax, pattern) in enumerate(zip(axes.flat, patterns)):
        image = ax.imshow(pattern, cmap="Blues", vmin=0, vmax=1)
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
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    label_tokens(ax, x, y)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.7)
    return ax
