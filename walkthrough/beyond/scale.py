"""All pairs of heads of a model of any size: composition scores without the products of which they are the norms.

A score is a norm, ‖W_OV W_QK‖, and its square is the inner product of two tables d_model x d_model: one for each head
that writes, one for each that reads. So a pair costs d_model² / 2 multiplications, where its product costs
d_model · d_head². The tables of all heads are made a strip of rows at a time, so memory grows with heads · d_model.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from walkthrough.beyond.frozen_weights import norm_before
from walkthrough.models import check_head

STRIP = 2**23  # numbers in the strips of all heads' tables: 34 MB in float32


def with_bar(function: Callable, steps: Sequence) -> Iterable:
    """As `map`, with a bar that says how many steps are done and how long the others will take."""
    return map(function, tqdm(steps))


class Heads(NamedTuple):
    """The weights of all heads of all layers that have heads; those of a group have the same W_K and W_V."""

    W_Q: Float[Tensor, "layer head d_model d_head"]
    W_K: Float[Tensor, "layer head d_model d_head"]
    W_V: Float[Tensor, "layer head d_model d_head"]
    W_O: Float[Tensor, "layer head d_head d_model"]


def all_head_weights(model, gains: bool = False) -> Heads:
    """The weights of all heads, in float32 or float64; with `gains`, W_Q, W_K and W_V read through their layer's norm.

    That is, the norm's gain is multiplied in and, if it is a LayerNorm, the mean over coordinates taken out; its scale
    and all biases are left out. Raises ValueError for a model without heads, and for one that has an encoder as well.
    """
    check_head(model, 0)
    try:
        layers, QK = model.QK_for_attn_layers()
        _, OV = model.OV_for_attn_layers()
        model.composition_layer_indices()
    except NotImplementedError:
        raise ValueError(
            f"{model.cfg.model_name} has an encoder and a decoder, each with its own stream: take a model with one stream"
        ) from None
    weights = [w.detach().to(torch.promote_types(w.dtype, torch.float32)) for w in (QK.A, QK.B.mT, OV.A, OV.B)]
    if gains:
        weights[:3] = (
            torch.stack([_through(norm_before(model, l), w) for l, w in zip(layers, W)]) for W in weights[:3]
        )
    return Heads(*weights)


def _through(norm, W_in):
    """A matrix that reads what a norm lets through, as one that reads the stream itself."""
    return norm.centred(W_in.mT * norm.gain).mT


class Table(NamedTuple):
    """For each head, `outer @ inner`: W Wᵀ, symmetric, of a map W = A Bᵀ whose side A meets the other head."""

    outer: Float[Tensor, "head d_model d_head"]
    inner: Float[Tensor, "head d_head d_model"]

    def sizes(self) -> Float[Tensor, " head"]:
        """The Frobenius norm of each W, whose square is the trace of W Wᵀ."""
        return (self.inner * self.outer.mT).sum((1, 2)).sqrt()

    def strip(self, rows: range) -> Float[Tensor, "head row column"]:
        """Some rows, from the first one's place on the diagonal to the end."""
        return self.outer[:, rows.start : rows.stop] @ self.inner[:, :, rows.start :]


def table_of(A: Float[Tensor, "layer head d_model d_head"], B: Float[Tensor, "layer head d_model d_head"]) -> Table:
    """The tables of the maps A Bᵀ of all heads."""
    A, B = A.flatten(0, 1), B.flatten(0, 1)
    return Table(A, (B.mT @ B) @ A.mT)


def part_of_squares(write: Table, reads: Sequence[Table], rows: range) -> Float[Tensor, "kind write read"]:
    """What some rows of the tables add to the squared norms of the products of what writes with each kind of what reads."""
    written = write.strip(rows)
    written[:, :, len(rows) :] *= 2  # right of the square on the diagonal, for its mirror image below
    return torch.stack([(written.flatten(1) @ read.strip(rows).flatten(1).T).double() for read in reads])


def all_pairs_scores(
    model, kinds: str = "QKV", *, gains: bool = False, mapped: Callable = map, strip: int | None = None
) -> Float[Tensor, "kind layer head layer head"]:
    """Composition scores of all pairs of heads: the writing head's layer and place, then the reading head's.

    The numbers of TransformerLens' `all_composition_scores`, zero where the reading head is not in a later layer; layers
    are those with heads. Norms and rotations are left out, as there; with `gains`, what reads is taken with the gain of
    its norm. `mapped` is what goes through the steps: `map`, `with_bar`, `over_processes`; `strip` is how many rows of
    the tables are one step. Raises ValueError for another kind, and for a strip of no rows (Elhage et al. 2021, "Two-Layer" models).
    """
    if not kinds or set(kinds) - set("QKV"):
        raise ValueError(
            f"there is no {kinds!r}-composition: heads read what others wrote as Q, K, V; 'QK' asks for two"
        )
    if strip is not None and strip < 1:
        raise ValueError(f"a strip of {strip} rows: take 1 or more")
    W_Q, W_K, W_V, W_O = all_head_weights(model, gains)
    n_layers, n_heads, d_model, _ = W_Q.shape
    write, sides = table_of(W_O.mT, W_V), {"Q": (W_Q, W_K), "K": (W_K, W_Q), "V": (W_V, W_O.mT)}
    reads = [table_of(*sides[kind]) for kind in kinds]
    height = strip or max(1, STRIP // (n_layers * n_heads * d_model))
    steps = [range(d_model)[start : start + height] for start in range(0, d_model, height)]
    squares = sum(mapped(partial(part_of_squares, write, reads), steps))
    sizes = write.sizes()[:, None] * torch.stack([read.sizes() for read in reads])[:, None]
    scores = squares.clamp(min=0).sqrt().to(sizes.dtype) / sizes
    later = torch.ones(n_layers, n_layers, dtype=torch.bool).triu(1)
    return scores.unflatten(2, (n_layers, n_heads)).unflatten(1, (n_layers, n_heads)).where(later[:, None, :, None], 0)
