"""Eigenvalues of the circuits of all heads, and of all K-composed pairs, of a model of any size and vocabulary.

A circuit is d_vocab x d_vocab, and shares its eigenvalues, all but zeros, with a table d_head x d_head. What both need
of the vocabulary is one table d_model x d_model for the whole model.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough.beyond.frozen_weights import norm_before
from walkthrough.beyond.scale import Heads, all_head_weights


def positivity_of(tables: Float[Tensor, "*batch d_head d_head"]) -> Float[Tensor, "*batch"]:
    """Sum of the eigenvalues over the sum of their sizes, of each table: from -1 to +1, as `eigenvalue_positivity`."""
    eigenvalues = torch.linalg.eigvals(tables)
    return eigenvalues.sum(-1).real / eigenvalues.abs().sum(-1)


def ov_positivities(
    model, *, gains: bool = True, R: Float[Tensor, "rows columns"] | None = None
) -> Float[Tensor, "layer head"]:
    """Eigenvalue positivity of the OV circuit of every head, each row of a circuit less its mean.

    With `gains`, what W_V and W_U read is taken with the gain of its norm; the norm's scale is left out, as are biases.
    An orthogonal R turns what the heads write: a null, in which W_E, W_U and the heads' own sizes stay (Elhage et al.
    2021, "Detecting Copying Behavior").
    """
    heads = all_head_weights(model, gains)
    unembedded = model.W_U @ model.W_E - torch.outer(model.W_U.mean(1), model.W_E.sum(0))
    if gains:
        norm = norm_before(model, model.cfg.n_layers)
        unembedded = norm.centred(unembedded.mT * norm.gain).mT
    return positivity_of(rotated_writes(heads.W_O, R) @ unembedded.to(heads.W_O) @ heads.W_V)


def k_composed_positivities(
    model, *, gains: bool = True, R: Float[Tensor, "rows columns"] | None = None, mapped: Callable = map
) -> Float[Tensor, "layer head layer head"]:
    """Eigenvalue positivity of the K-composed circuit of every pair: the writing head's layer and place, then the reader's.

    Not a number where the reading head is not in a later layer. Each row of a circuit is less its mean; rotations are
    left out, as if all positions were one. `gains` and R are those of `ov_positivities`, `mapped` that of
    `all_pairs_scores` (Elhage et al. 2021, "Two-Layer" models: W_E^T W_QK W_OV W_E).
    """
    heads = all_head_weights(model, gains)
    tokens = (model.W_E.T @ model.W_E - torch.outer(model.W_E.mean(0), model.W_E.sum(0))).to(heads.W_O)
    moved = tokens.mT @ heads.W_V  # seen from its W_V: what a head can move of the tokens, less their mean
    heads = heads._replace(W_V=moved, W_O=rotated_writes(heads.W_O, R))
    n_layers, n_heads = heads.W_Q.shape[:2]
    found = torch.full((n_layers, n_heads, n_layers, n_heads), torch.nan, dtype=moved.dtype)
    pairs = [(early, late) for late in range(n_layers) for early in range(late)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # one table's eigenvalues keep one core busy
        for each, (early, late) in zip(mapped(partial(_of_two_layers, heads, pool), pairs), pairs):
            found[early, :, late] = each
    return found


def _of_two_layers(heads: Heads, pool: ThreadPoolExecutor, pair: tuple[int, int]) -> Float[Tensor, "write read"]:
    early, late = pair
    keys = heads.W_O[early][:, None] @ heads.W_K[late]  # [write read d_head d_head]
    queries = heads.W_V[early][:, None].mT @ heads.W_Q[late]
    return torch.cat([*pool.map(positivity_of, (keys.mT @ queries).split(1))])


def rotated_writes(
    W_O: Float[Tensor, "layer head d_head d_model"], R: Float[Tensor, "rows columns"] | None
) -> Float[Tensor, "layer head d_head d_model"]:
    """What heads write, turned by R if there is one. Raises ValueError if R is not d_model x d_model."""
    if R is None:
        return W_O
    if R.shape != (W_O.shape[-1], W_O.shape[-1]):
        d_model = W_O.shape[-1]
        raise ValueError(f"R turns a stream of {d_model} dimensions: it is {list(R.shape)}, not {[d_model, d_model]}")
    return W_O @ R.to(W_O)
