"""What positions have to do with where a head looks."""

import torch
from jaxtyping import Float
from torch import Tensor


def term_shares(terms: Float[Tensor, "term batch query key"]) -> tuple[Float[Tensor, " term"], Float[Tensor, ""]]:
    """Each term's share of how scores vary over the keys that a query sees; and the scores' standard deviation.

    Each row is centred over its visible keys. A term's share is its covariance with the sum of all terms, over the
    variance of that sum: shares add up to 1, and one may be negative. `terms` are those of `paths.score_terms`.
    """
    visible = torch.ones(terms.shape[-2:]).tril()
    means = (terms * visible).sum(-1, keepdim=True) / visible.sum(-1, keepdim=True)
    centred = (terms - means) * visible
    score = centred.sum(0)
    total = score.square().sum()
    shares = (centred * score).sum((1, 2, 3)) / total
    return shares, (total / visible.sum() / len(score)).sqrt()


def total_variation(
    pattern: Float[Tensor, "*batch query key"], other: Float[Tensor, "*other query key"]
) -> Float[Tensor, "..."]:
    """How much of its attention each query would have to move to make one pattern the other: from 0 to 1."""
    return (pattern - other).abs().sum(-1) / 2


def within_reach(pattern: Float[Tensor, "*batch query key"], reach: int) -> Float[Tensor, "*batch query key"]:
    """The pattern without attention to keys more than `reach` tokens back; <BOS>, position 0, may always be seen.

    What is cut away is lost: rows no longer sum to 1. With a reach below 0 nothing at all is seen.
    """
    n_pos = pattern.shape[-1]
    back = torch.arange(n_pos)[:, None] - torch.arange(n_pos)
    seen = (back >= 0) & (back <= reach)
    seen[:, 0] = reach >= 0
    return pattern * seen
