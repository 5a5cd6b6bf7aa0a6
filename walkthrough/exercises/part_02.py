"""The exercises of notebook 02."""

import math
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def random_counts(seed: int, n: int, zeros: float = 0.0) -> Tensor:
    """A table of counts without symmetries, whose rows and columns differ in weight; a share of it zero."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(n, 1, generator=generator) * 40 + 3
    counts = (torch.rand(n, n, generator=generator) ** 3 * scale).long() + 1
    return counts * (torch.rand(n, n, generator=generator) >= zeros)


# 2.1 what came before


def counts_with_gaps() -> list[tuple]:
    """Tables with a token that never came second and one that never came first."""
    never_second, never_first = random_counts(1, 6, 0.3), random_counts(2, 5)
    never_second[:, 2] = 0
    never_first[3] = 0
    return [(random_counts(0, 4),), (never_second,), (never_first,)]


def slow_before(counts: Tensor) -> Tensor:
    """P(first | second), row by row."""
    table = torch.zeros(counts.shape, dtype=torch.float64)
    for present in range(len(counts)):
        times = sum(counts[before, present].item() for before in range(len(counts)))
        for before in range(len(counts)):
            table[present, before] = counts[before, present].item() / times if times else 0.0
    return table


BEFORE_MISTAKES = {
    "that is what comes after: you conditioned on the first token of each pair, here the second is known":
        lambda c: c / c.sum(1, keepdim=True).clamp_min(1),
    "transposed: rows are the present token and columns what came before it":
        lambda c: c / c.sum(0).clamp_min(1),
    "wrong axis: each row must sum to 1, so divide by how often its own token came second":
        lambda c: (c / c.sum(1, keepdim=True).clamp_min(1)).T,
    "divided by the total: that is the probability of the pair, not of one token given the other":
        lambda c: c.T / c.sum(),
    "those are still counts: divide each row by its sum":
        lambda c: c.T,
    "divided by the highest count of each row instead of by its sum":
        lambda c: c.T / c.T.max(1, keepdim=True).values.clamp_min(1),
    "one was added to every count: give what was counted, without smoothing":
        lambda c: (c.T + 1) / (c.T + 1).sum(1, keepdim=True),
}  # fmt: skip


# 2.2 what one token tells about the next


def slow_information(counts: Tensor) -> float:
    """Mutual information in nats, pair by pair."""
    total = counts.sum().item()
    nats = 0.0
    for first in range(len(counts)):
        for second in range(len(counts)):
            pair = counts[first, second].item() / total
            apart = counts[first].sum().item() / total * counts[:, second].sum().item() / total
            nats += pair * math.log(pair / apart) if pair else 0.0
    return nats


def entropy(weights: Tensor) -> Tensor:
    """Entropy in nats of weights that need not sum to 1."""
    share = weights.double() / weights.sum()
    return -torch.special.xlogy(share, share).sum()


def kl_rows(counts: Tensor, overall: Tensor) -> Tensor:
    """KL of each row from one overall distribution."""
    rows = counts.double() / counts.sum(1, keepdim=True)
    return (torch.special.xlogy(rows, rows) - rows * (overall.double() / overall.sum()).log()).sum(1)


def reversed_kl(counts: Tensor) -> Tensor:
    """The average KL of the overall distribution from the rows."""
    rows, overall = counts.double() / counts.sum(1, keepdim=True), counts.sum(0).double() / counts.sum()
    return counts.sum(1).double() / counts.sum() @ (overall * (overall / rows).log()).sum(1)


INFORMATION_MISTAKES = {
    "every row counted alike: weight each token by how often it occurs":
        lambda c: kl_rows(c, c.sum(0)).mean(),
    "the rows were added up without weights: weight each token by its share of the text":
        lambda c: kl_rows(c, c.sum(0)).sum(),
    "KL the wrong way round: average log(row / overall) under the row, not log(overall / row) under the overall":
        reversed_kl,
    "that is in bits: use the natural logarithm":
        lambda c: slow_information(c) / math.log(2),
    "that is the conditional entropy: what is left to guess once the token is known, not what it tells":
        lambda c: entropy(c) - entropy(c.sum(1)),
    "that is the entropy of the next token: subtract what is left once the present one is known":
        lambda c: entropy(c.sum(0)),
    "that is the joint entropy: of pairs, not what one half tells about the other":
        entropy,
    "you subtracted the joint entropy: subtract the conditional one":
        lambda c: entropy(c.sum(0)) - entropy(c),
    "compared with how often tokens come first: compare with how often they come second (sums of columns)":
        lambda c: c.sum(1).double() / c.sum() @ kl_rows(c, c.sum(1)),
}  # fmt: skip


# 2.3 surprise from the weights


def texts() -> list[tuple]:
    """Random weights and a random text that begins with `<BOS>`."""
    cases = []
    for seed, (d_vocab, d_model, n_pos) in enumerate([(9, 3, 7), (6, 4, 11)]):
        generator = torch.Generator().manual_seed(seed)
        W_E, W_U = (torch.randn(shape, generator=generator) for shape in ((d_vocab, d_model), (d_model, d_vocab)))
        text = torch.randint(1, d_vocab, (n_pos - 1,), generator=generator)
        cases.append((1.5 * W_E, W_U, torch.cat([torch.zeros(1, dtype=torch.long), text])))
    return cases


def slow_surprise(W_E: Tensor, W_U: Tensor, tokens: Tensor) -> Tensor:
    """The loss at each token after the first, token by token."""
    surprise = []
    for present, following in zip(tokens[:-1].tolist(), tokens[1:].tolist()):
        weights = [math.exp(W_E[present] @ W_U[:, token]) for token in range(len(W_E))]
        surprise.append(-math.log(weights[following] / sum(weights)))
    return torch.tensor(surprise)


def log_probs(W_E: Tensor, W_U: Tensor) -> Tensor:
    """The table that the weights imply."""
    return (W_E @ W_U).log_softmax(-1)


SURPRISE_MISTAKES = {
    "each token was scored on itself: shift by one, for a token predicts the next":
        lambda e, u, t: -log_probs(e, u)[t, t],
    "each token was scored on itself, and one is missing: score tokens[1:] by the rows of tokens[:-1]":
        lambda e, u, t: -log_probs(e, u)[t[1:], t[1:]],
    "backwards: the later token was used to predict the earlier one":
        lambda e, u, t: -log_probs(e, u)[t[1:], t[:-1]],
    "no softmax: those are logits; take log_softmax over d_vocab first":
        lambda e, u, t: -(e @ u)[t[:-1], t[1:]],
    "softmax over the wrong axis: each row of logits belongs to one present token":
        lambda e, u, t: -(e @ u).log_softmax(0)[t[:-1], t[1:]],
    "softmax over the positions of the text: it goes over d_vocab":
        lambda e, u, t: -(e[t[:-1]] @ u).log_softmax(0)[range(len(t) - 1), t[1:]],
    "those are probabilities: the surprise is minus their logarithm":
        lambda e, u, t: log_probs(e, u).exp()[t[:-1], t[1:]],
    "that is in bits: use the natural logarithm":
        lambda e, u, t: -log_probs(e, u)[t[:-1], t[1:]] / math.log(2),
    "averaged: give one number for each token after the first":
        lambda e, u, t: -log_probs(e, u)[t[:-1], t[1:]].mean(),
}  # fmt: skip


# 2.4 other weights, the same predictions


def weights() -> list[tuple]:
    """Random weights."""
    return [(W_E, W_U) for W_E, W_U, _ in texts()]


def close(x: Tensor, y: Tensor) -> bool:
    """Equal as far as float32 arithmetic allows."""
    return torch.allclose(x, y, rtol=1e-3, atol=1e-4)


def judge_orthonormal(answer: Any, W_E: Tensor, W_U: Tensor) -> str | None:
    """What is wrong with other weights that should predict the same from an embedding with orthonormal columns."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not all(isinstance(x, Tensor) for x in answer):
        return "return two tensors: the new W_E and the new W_U"
    new_E, new_U = (x.detach().to(W_E.dtype) for x in answer)
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
    "2.1": Exercise(cases=counts_with_gaps, oracle=slow_before, mistakes=BEFORE_MISTAKES),
    "2.2": Exercise(
        cases=lambda: [(random_counts(3, 4),), (random_counts(4, 7),), (random_counts(5, 6, 0.3),)],
        oracle=slow_information, mistakes=INFORMATION_MISTAKES,
    ),
    "2.3": Exercise(cases=texts, oracle=slow_surprise, mistakes=SURPRISE_MISTAKES),
    "2.4": Exercise(cases=weights, judge=judge_orthonormal),
}  # fmt: skip
