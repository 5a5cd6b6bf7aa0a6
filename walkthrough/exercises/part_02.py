"""The exercises of notebook 02: here those that begin with weights, in `counting` those that begin with counts."""

import math
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises import counting
from walkthrough.exercises.exercise import Exercise

# 2.2 the table in the weights


def weights() -> list[tuple]:
    """Random weights of two sizes."""
    cases = []
    for seed, (d_vocab, d_model) in enumerate([(9, 3), (6, 4)]):
        generator = torch.Generator().manual_seed(seed)
        W_E, W_U = (torch.randn(shape, generator=generator) for shape in ((d_vocab, d_model), (d_model, d_vocab)))
        cases.append((1.5 * W_E, W_U))
    return cases


def slow_log_probs(W_E: Tensor, W_U: Tensor) -> Tensor:
    """The table that the weights imply, entry by entry."""
    table = []
    for row in W_E.double():
        weights = [math.exp(row @ column) for column in W_U.double().T]
        table.append([math.log(weight / sum(weights)) for weight in weights])
    return torch.tensor(table)


def log_probs(W_E: Tensor, W_U: Tensor) -> Tensor:
    """The same at once."""
    return (W_E @ W_U).log_softmax(-1)


LOG_PROBS_MISTAKES = {
    "those are logits: a row of them becomes log-probabilities by log_softmax":
        lambda e, u: e @ u,
    "those are probabilities: their logarithm is missing":
        lambda e, u: log_probs(e, u).exp(),
    "softmax over the wrong axis: each row holds what may follow one token, so each ROW of probabilities sums to 1":
        lambda e, u: (e @ u).log_softmax(0),
    "softmax over the whole table at once: each row is a distribution of its own":
        lambda e, u: (e @ u).flatten().log_softmax(0).view(len(e), -1),
    "each COLUMN was divided by the sum of a row: the sum over the last axis must keep that axis, keepdim=True":
        lambda e, u: ((e @ u).exp() / (e @ u).exp().sum(-1)).log(),
    "wrong order: W_U @ W_E is only d_model x d_model; in rows, a token goes through W_E first: W_E @ W_U":
        lambda e, u: (u @ e).log_softmax(-1),
    "that is the paper's W_U W_E, whose columns are the current tokens: here the rows are, W_E @ W_U":
        lambda e, u: log_probs(e, u).T,
    "the columns of the paper's W_U W_E are the current tokens, and you took the softmax over its rows: use W_E @ W_U":
        lambda e, u: (u.T @ e.T).log_softmax(-1),
    "that is the logarithm of the logits themselves, which can be negative: they must go through a softmax first":
        lambda e, u: (e @ u).log(),
    "log_softmax was taken of probabilities: once is enough":
        lambda e, u: log_probs(e, u).exp().log_softmax(-1),
    "that is in bits: use the natural logarithm":
        lambda e, u: log_probs(e, u) / math.log(2),
    "that is to base 10: use the natural logarithm":
        lambda e, u: log_probs(e, u) / math.log(10),
    "those are surprises: a log-probability is at most 0, so leave out the minus":
        lambda e, u: -log_probs(e, u),
}  # fmt: skip
LOG_PROBS_CRASHES = {
    "shapes cannot be multiplied": "W_E has a row for each token and W_U a column: they fit as they are, W_E @ W_U",
}


# 2.4 other weights, the same predictions


def close(x: Tensor, y: Tensor) -> bool:
    """Equal as far as float32 arithmetic allows."""
    return torch.allclose(x, y, rtol=1e-3, atol=1e-4)


def judge_orthonormal(answer: Any, W_E: Tensor, W_U: Tensor) -> str | None:
    """What is wrong with other weights that should predict the same from an embedding with orthonormal columns."""
    try:
        new_E, new_U = (torch.as_tensor(x).detach().to(W_E.dtype) for x in answer)
    except (TypeError, ValueError, RuntimeError):
        return "return two tensors: the new W_E and the new W_U"
    if new_E.shape != W_E.shape or new_U.shape != W_U.shape:
        return (
            f"wrong shape: yours are {list(new_E.shape)} and {list(new_U.shape)}, "
            f"they should stay {list(W_E.shape)} and {list(W_U.shape)}"
        )
    gram = new_E.T @ new_E
    if not close(gram, torch.eye(len(gram))):
        if close(new_E.norm(dim=1), torch.ones(len(new_E))):
            return "each token's row has length 1: it is the d_model columns of W_E that should be orthonormal"
        if close(gram.diagonal(), torch.ones(len(gram))):
            return "the columns of W_E have length 1 but are not at right angles: W_E.T @ W_E must be the identity"
        return "the columns of W_E are not orthonormal: W_E.T @ W_E must be the identity"
    if close(log_probs(new_E, new_U), log_probs(W_E, W_U)):
        return None
    R = new_E.T @ W_E
    for sentence, wrong in (
        ("W_E was changed and W_U did not follow: the predictions are no longer the same", W_U),
        ("W_U was multiplied by the inverse of R: W_E = Q R, so Q goes with R @ W_U", torch.linalg.inv(R) @ W_U),
        ("W_U was multiplied by the transpose of R: W_E = Q R, so Q goes with R @ W_U", R.T @ W_U),
    ):
        if close(new_U, wrong):
            return sentence
    return "the predictions changed: what you divided out of W_E must be multiplied into W_U"


EXERCISES: dict[str, Exercise] = {
    "2.1": counting.EXERCISES["2.1"],
    "2.2": Exercise(weights, slow_log_probs, LOG_PROBS_MISTAKES, crashes=LOG_PROBS_CRASHES),
    "2.3": counting.EXERCISES["2.3"],
    "2.4": Exercise(weights, judge=judge_orthonormal),
}
