"""The exercises of notebook 13: smeared keys, and what a score is made of (missing heads and short cuts: `missing`)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.missing import (
    FIXED_MISTAKES,
    STREAM_MISTAKES,
    copies,
    deep_runs,
    slow_follower_and_fixed,
    slow_stream,
)

# 13.1 smeared keys


def keys_and_alphas() -> list[tuple]:
    """Keys of several heads, and a number for each head."""
    cases = []
    for seed, shape in enumerate([(2, 3, 5, 4), (1, 2, 6, 3)]):
        generator = torch.Generator().manual_seed(seed)
        keys = torch.randn(shape, generator=generator)
        cases.append((keys, 2 * torch.randn(shape[1], generator=generator) + 0.5))
    return cases


def slow_smear(keys: Tensor, alpha: Tensor, share: Callable[[float], float] | None = None, step: int = -1) -> Tensor:
    """One head and one position at a time; `step` says which neighbour is mixed in."""
    share = share or (lambda a: 1 / (1 + math.exp(-a)))
    smeared = keys.clone()
    for head in range(keys.shape[1]):
        s = share(alpha[head].item())
        for pos in range(keys.shape[2]):
            if 0 <= pos + step < keys.shape[2]:
                smeared[:, head, pos] = s * keys[:, head, pos] + (1 - s) * keys[:, head, pos + step]
    return smeared


def over_and_over(keys: Tensor, alpha: Tensor) -> Tensor:
    """Each key mixed with the smeared one before it."""
    smeared, share = keys.clone(), alpha.sigmoid()[:, None]
    for pos in range(1, keys.shape[2]):
        smeared[:, :, pos] = share * keys[:, :, pos] + (1 - share) * smeared[:, :, pos - 1]
    return smeared


def nothing_before(keys: Tensor, alpha: Tensor) -> Tensor:
    """The first key mixed with a key of zeros."""
    smeared = slow_smear(keys, alpha)
    smeared[:, :, 0] = alpha.sigmoid()[:, None] * keys[:, :, 0]
    return smeared


def round_the_corner(keys: Tensor, alpha: Tensor) -> Tensor:
    """The first key mixed with the last."""
    share = alpha.sigmoid()[:, None, None]
    return share * keys + (1 - share) * keys.roll(1, 2)


SMEAR_MISTAKES = {
    "the shares are exchanged: sigmoid(alpha) is what a key keeps of itself":
        lambda k, a: slow_smear(k, a, lambda x: 1 / (1 + math.exp(x))),
    "each key was mixed with the one after it: take the one before":
        lambda k, a: slow_smear(k, a, step=1),
    "alpha is no share: take its sigmoid, which lies between 0 and 1":
        lambda k, a: slow_smear(k, a, lambda x: x),
    "the last key was mixed into the first: the first has none before it, and stays as it is":
        round_the_corner,
    "the first key was mixed with zeros: it has none before it, and stays as it is":
        nothing_before,
    "each key was mixed with the smeared one before it, so that all earlier keys come in: take the key as it was":
        over_and_over,
    "that is the neighbour alone, times its share: add what the key keeps of itself":
        lambda k, a: slow_smear(k, a) - a.sigmoid()[:, None, None] * k,
    "the first position is missing: the first key stays as it is, in front of the others":
        lambda k, a: slow_smear(k, a)[:, :, 1:],
    "all heads were mixed by the first one's share: each head has its own":
        lambda k, a: slow_smear(k, a[:1].expand_as(a)),
}  # fmt: skip


# 13.3 what the query and what the key reads


def parts_and_weights() -> list[tuple]:
    """Parts of what a layer reads, and W_Q and W_K; nothing is square."""
    cases = []
    for seed, (n_parts, batch, n_pos, d_model, d_head) in enumerate([(3, 2, 4, 6, 5), (4, 1, 5, 7, 2)]):
        generator = torch.Generator().manual_seed(seed)
        parts = torch.randn(n_parts, batch, n_pos, d_model, generator=generator)
        cases.append((parts, *torch.randn(2, d_model, d_head, generator=generator)))
    return cases


def slow_scores(parts: Tensor, W_Q: Tensor, W_K: Tensor, scale: float | None = None) -> Tensor:
    """Two parts, two positions and one prompt at a time."""
    n_parts, batch, n_pos, _ = parts.shape
    scores = torch.zeros(n_parts, n_parts, batch, n_pos, n_pos)
    for a in range(n_parts):
        for b in range(n_parts):
            for row in range(batch):
                for query in range(n_pos):
                    for key in range(n_pos):
                        q, k = parts[a, row, query] @ W_Q, parts[b, row, key] @ W_K
                        scores[a, b, row, query, key] = q @ k
    return scores / (math.sqrt(W_Q.shape[1]) if scale is None else scale)


def masked(scores: Tensor) -> Tensor:
    """The future at zero, or at minus infinity."""
    return scores.tril()


SCORE_MISTAKES = {
    "the axes of the parts are exchanged: what the query reads comes first":
        lambda p, q, k: slow_scores(p, q, k).transpose(0, 1),
    "queries and keys are exchanged in each term: rows are queries":
        lambda p, q, k: slow_scores(p, q, k).transpose(-1, -2),
    "W_Q and W_K are exchanged: the query is made by W_Q":
        lambda p, q, k: slow_scores(p, k, q),
    "the scores are not divided by the square root of d_head":
        lambda p, q, k: slow_scores(p, q, k, 1.0),
    "divided by the square root of d_model: take d_head, the number of columns of W_Q":
        lambda p, q, k: slow_scores(p, q, k, math.sqrt(len(q))),
    "divided by d_head: take its square root":
        lambda p, q, k: slow_scores(p, q, k, float(q.shape[1])),
    "only terms whose two sides read the same part: every part of the query meets every part of the key":
        lambda p, q, k: torch.stack([slow_scores(p, q, k)[i, i] for i in range(len(p))]),
    "that is the sum of all terms: leave them apart":
        lambda p, q, k: slow_scores(p, q, k).sum((0, 1)),
    "added up over what the keys read: leave every pair of parts apart":
        lambda p, q, k: slow_scores(p, q, k).sum(1),
    "added up over what the queries read: leave every pair of parts apart":
        lambda p, q, k: slow_scores(p, q, k).sum(0),
    "the future is masked: leave the scores unmasked, so that the terms can be added":
        lambda p, q, k: masked(slow_scores(p, q, k)),
    "each term has its own softmax: scores are asked for, and a softmax of a sum is not a sum of softmaxes":
        lambda p, q, k: slow_scores(p, q, k).softmax(-1),
}  # fmt: skip


# 13.4 attention without a term


def scores_and_terms() -> list[tuple]:
    """Scores before the mask, and a term of them."""
    cases = []
    for seed, shape in enumerate([(2, 4, 4), (3, 5, 5)]):
        generator = torch.Generator().manual_seed(seed)
        scores, term = 2 * torch.randn(2, *shape, generator=generator)
        cases.append((scores, term))
    return cases


def slow_attention(scores: Tensor, term: Tensor, sign: int = -1, future: bool = False) -> Tensor:
    """One query at a time, over the keys that it sees."""
    pattern = torch.zeros_like(scores)
    for row in range(len(scores)):
        for query in range(scores.shape[1]):
            seen = scores.shape[2] if future else query + 1
            raised = [math.exp((scores + sign * term)[row, query, key]) for key in range(seen)]
            pattern[row, query, :seen] = torch.tensor(raised) / sum(raised)
    return pattern


def subtracted(scores: Tensor, term: Tensor) -> Tensor:
    """A difference of two patterns."""
    return slow_attention(scores, 0 * term) - slow_attention(term, 0 * term)


def zeroed_future(scores: Tensor, term: Tensor) -> Tensor:
    """A mask of zeros before the softmax: a score of zero is no score of minus infinity."""
    return (scores - term).tril().softmax(-1)


def cut_off(scores: Tensor, term: Tensor) -> Tensor:
    """A mask after the softmax: rows no longer sum to 1."""
    return (scores - term).softmax(-1).tril()


ATTENTION_MISTAKES = {
    "the term was added: leave it out": lambda s, t: slow_attention(s, t, 1),
    "the term is still in: subtract it before the softmax": lambda s, t: slow_attention(s, 0 * t),
    "that is the pattern of the term alone: it is what is to be left out": lambda s, t: slow_attention(t, 0 * t),
    "two patterns were subtracted: subtract the scores, and then take one softmax": subtracted,
    "queries look into the future: mask it with minus infinity": lambda s, t: slow_attention(s, t, future=True),
    "the future was masked with 0, which is a score like any other: mask it with minus infinity": zeroed_future,
    "the future was masked after the softmax, so rows do not sum to 1: mask the scores": cut_off,
    "those are scores: take their softmax": lambda s, t: s - t,
    "the softmax ran over queries: it runs over keys":
        lambda s, t: (s - t).masked_fill(torch.ones_like(s).triu(1).bool(), -torch.inf).softmax(-2),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "13.1": Exercise(keys_and_alphas, slow_smear, SMEAR_MISTAKES),
    "13.2": Exercise(deep_runs, slow_stream, STREAM_MISTAKES),
    "13.3": Exercise(parts_and_weights, slow_scores, SCORE_MISTAKES),
    "13.4": Exercise(scores_and_terms, slow_attention, ATTENTION_MISTAKES),
    "13.5": Exercise(copies, slow_follower_and_fixed, FIXED_MISTAKES),
}
