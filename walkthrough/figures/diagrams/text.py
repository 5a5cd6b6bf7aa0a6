"""Drawings of text, of tokens on their way through a model, and of directions."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from walkthrough.figures.basics import visible
from walkthrough.figures.diagrams.grammar import canvas, positive


def arcs(
    tokens: Sequence[str], arcs: Sequence[tuple[int, int, str]], *, colours: Sequence[str] = (),
    predicted: str | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A line of tokens with an arrow over it for each (start, end, label), its head at the end.

    `colours` are the arrows', one each; a `predicted` token stands dashed after the last, at position len(tokens).
    """
    ax = canvas(8, 2, ax)
    ax.text(4, 1, " ".join(visible(tokens)), ha="center", family="monospace")
    return ax


def tokens_to_logits(
    pieces: Sequence[str], *, d_model: int, d_vocab: int, ids: Sequence[int] = (),
    likely: Mapping[str, float] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Text cut into tokens, each with its id, its row of W_E, the layers, and a row of logits: the next token's bars.

    `ids` are the tokens' ids and `likely` the most probable next tokens with their probabilities; without them both
    stay unnamed.
    """
    positive(d_model=d_model, d_vocab=d_vocab)
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, " | ".join(visible(pieces)), ha="center", family="monospace")
    return ax


def rotation(*, degrees: float = 35, ax: Axes | None = None) -> Axes:
    """The same arrows in two systems of coordinates: other numbers, the same lengths and angles."""
    ax = canvas(8, 3, ax)
    ax.text(4, 1.5, f"rotated by {degrees} degrees", ha="center")
    return ax
