"""The exercises of notebook 04."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def noise(seed: int, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Random tensors without symmetries."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


# 4.1 logits by source position


def one_layer_models() -> list[tuple]:
    """Tokens, one of them twice, causal patterns, and all weights that the logits need."""
    cases = []
    for seed, (n_pos, n_heads, d_model, d_head, d_vocab) in enumerate([(5, 3, 6, 2, 9), (4, 2, 5, 3, 7)]):
        scores, W_E, W_V, W_O, W_U = noise(
            seed, (n_heads, n_pos, n_pos), (d_vocab, d_model), (n_heads, d_model, d_head), (n_heads, d_head, d_model),
            (d_model, d_vocab),
        )  # fmt: skip
        pattern = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf).softmax(-1)
        tokens = torch.tensor([0, 3, 5, 3, 6][:n_pos])
        cases.append((tokens, pattern, W_E, W_V, W_O, W_U))
    return cases


def slow_by_source(tokens: Tensor, pattern: Tensor, W_E: Tensor, W_V: Tensor, W_O: Tensor, W_U: Tensor) -> Tensor:
    """Query by query, key by key, head by head."""
    added = torch.zeros(len(tokens), len(tokens), W_U.shape[1])
    for query in range(len(tokens)):
        added[query, query] += W_E[tokens[query]] @ W_U
        for key in range(query + 1):
            for head in range(len(pattern)):
                added[query, key] += pattern[head, query, key] * (W_E[tokens[key]] @ W_V[head] @ W_O[head] @ W_U)
    return added


def votes(tokens: Tensor, pattern: Tensor, W_E: Tensor, W_V: Tensor, W_O: Tensor, W_U: Tensor) -> Tensor:
    """What each key adds through each head, [head query key d_vocab]."""
    return pattern[..., None] * (W_E[tokens] @ W_V @ W_O @ W_U)[:, None]


def straight(tokens: Tensor, W_E: Tensor, W_U: Tensor) -> Tensor:
    """The direct path on the diagonal of queries and keys, zero elsewhere."""
    return torch.eye(len(tokens))[..., None] * (W_E[tokens] @ W_U)


SOURCE_MISTAKES = {
    "the direct path was forgotten: it counts for the query's own position":
        lambda t, a, e, v, o, u: votes(t, a, e, v, o, u).sum(0),
    "the direct path was added for every key: it belongs to the query's own position alone":
        lambda t, a, e, v, o, u: votes(t, a, e, v, o, u).sum(0) + (e[t] @ u)[:, None],
    "the direct path was added once for each head: it passes all heads by, once":
        lambda t, a, e, v, o, u: (votes(t, a, e, v, o, u) + straight(t, e, u)).sum(0),
    "the pattern is transposed: its rows are queries":
        lambda t, a, e, v, o, u: votes(t, a.mT, e, v, o, u).sum(0) + straight(t, e, u),
    "transposed: queries and keys are swapped in your answer":
        lambda t, a, e, v, o, u: (votes(t, a, e, v, o, u).sum(0) + straight(t, e, u)).transpose(0, 1),
    "the query's own token was moved: what arrives from a key depends on the key's token":
        lambda t, a, e, v, o, u: (a[..., None] * (e[t] @ v @ o @ u)[:, :, None]).sum(0) + straight(t, e, u),
    "W_OV is transposed: a row meets W_V first, resid @ W_V @ W_O":
        lambda t, a, e, v, o, u: votes(t, a, e, o.mT, v.mT, u).sum(0) + straight(t, e, u),
    "the heads were averaged: their outputs are added":
        lambda t, a, e, v, o, u: votes(t, a, e, v, o, u).mean(0) + straight(t, e, u),
    "the patterns were left out: each vote is weighted by the attention that the query pays":
        lambda t, a, e, v, o, u: votes(t, torch.ones_like(a).tril(), e, v, o, u).sum(0) + straight(t, e, u),
    "summed over keys: those are the logits, and the question is which key they come from":
        lambda t, a, e, v, o, u: (votes(t, a, e, v, o, u).sum(0) + straight(t, e, u)).sum(1),
    "one table for each head: add up the heads":
        lambda t, a, e, v, o, u: votes(t, a, e, v, o, u) + straight(t, e, u),
}  # fmt: skip


# 4.2 positions shifted by a matrix


def shifts() -> list[tuple]:
    """Frequencies in radians a token, all different, and how far to shift."""
    return [(torch.tensor([1.9, 0.7, 0.2]), 3), (torch.tensor([2.5, 1.1]), 1)]


def slow_shift(frequency: Tensor, offset: int) -> Tensor:
    """Least squares between a table of positions and the same table moved."""
    angle = torch.arange(60)[:, None] * frequency.double()
    W_pos = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
    return torch.linalg.lstsq(W_pos[offset:], W_pos[:-offset]).solution


def rotation(frequency: Tensor, offset: int | float) -> Tensor:
    """Each (sine, cosine) pair turned back by offset times its frequency."""
    blocks = [torch.tensor([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) for a in frequency * offset]
    return torch.block_diag(*blocks)


def in_halves(frequency: Tensor, offset: int) -> Tensor:
    """The same for a layout with all sines first."""
    order = torch.arange(2 * len(frequency)).view(-1, 2).T.flatten()
    return rotation(frequency, offset)[order][:, order]


SHIFT_MISTAKES = {
    "the wrong way: that makes pos + offset. Is R transposed, or the sign of one sine wrong?":
        lambda f, k: rotation(f, -k),
    "that shifts by one token, whatever the offset": lambda f, k: rotation(f, 1),
    "the angle is frequency times offset, not frequency over offset": lambda f, k: rotation(f, 1 / k),
    "sines and cosines alternate: column 2i is a sine, column 2i + 1 its cosine": in_halves,
    "both sines have the same sign: then R is a mirror or a stretch, not a rotation":
        lambda f, k: rotation(f, k).diagonal().diag() + (rotation(f, k) - rotation(f, k).diagonal().diag()).abs(),
    "the sines are missing: R must mix each sine with its cosine": lambda f, k: rotation(f, k).diagonal().diag(),
}  # fmt: skip


# 4.3 and 4.4 the two circuits, each with a reference


def qk_weights() -> list[tuple]:
    """W_E, W_Q, W_K and each token's share of the text."""
    cases = []
    for seed, (d_vocab, d_model, d_head) in enumerate([(9, 6, 2), (7, 8, 3)]):
        *weights, counts = noise(seed, (d_vocab, d_model), (d_model, d_head), (d_model, d_head), (d_vocab,))
        cases.append((*weights, counts.softmax(0)))
    return cases


def slow_qk(W_E: Tensor, W_Q: Tensor, W_K: Tensor, share: Tensor) -> Tensor:
    """Pair by pair, then each query's mean subtracted."""
    scores = torch.zeros(len(W_E), len(W_E))
    for query in range(len(W_E)):
        for key in range(len(W_E)):
            scores[query, key] = (W_E[query] @ W_Q) @ (W_E[key] @ W_K) / math.sqrt(W_Q.shape[1])
        scores[query] -= sum(share[key] * scores[query, key] for key in range(len(W_E)))
    return scores


def qk(W_E: Tensor, W_Q: Tensor, W_K: Tensor) -> Tensor:
    """The QK circuit, rows queries."""
    return W_E @ W_Q @ W_K.T @ W_E.T / math.sqrt(W_Q.shape[1])


def over(table: Tensor, share: Tensor) -> Tensor:
    """Each row less its mean, where each column counts by its share."""
    return table - (table @ share)[:, None]


QK_MISTAKES = {
    "missing the 1/√d_head: divide the scores by it":
        lambda e, q, k, s: over(qk(e, q, k), s) * math.sqrt(q.shape[1]),
    "divided by d_head: the scores are divided by its square root":
        lambda e, q, k, s: over(qk(e, q, k), s) / math.sqrt(q.shape[1]),
    "divided by √d_model: the scale is √d_head, for q and k have d_head entries":
        lambda e, q, k, s: over(qk(e, q, k), s) * math.sqrt(q.shape[1] / len(q)),
    "W_Q and W_K are swapped: rows are queries":
        lambda e, q, k, s: over(qk(e, k, q), s),
    "transposed: rows are queries, columns are keys":
        lambda e, q, k, s: over(qk(e, q, k), s).T,
    "the reference is missing: subtract from each row its mean":
        lambda e, q, k, s: qk(e, q, k),
    "all keys count alike in your mean: each counts by its share of the text":
        lambda e, q, k, s: over(qk(e, q, k), torch.full_like(s, 1 / len(s))),
    "the wrong axis: that is the average query; subtract each query's score for the average key":
        lambda e, q, k, s: qk(e, q, k) - s @ qk(e, q, k),
    "one mean for the whole table: each row has its own":
        lambda e, q, k, s: qk(e, q, k) - s @ qk(e, q, k) @ s,
    "relative to <BOS>: here the reference is the average key":
        lambda e, q, k, s: qk(e, q, k) - qk(e, q, k)[:, :1],
    "the mean was added: subtract it":
        lambda e, q, k, s: qk(e, q, k) + (qk(e, q, k) @ s)[:, None],
}  # fmt: skip


def ov_weights() -> list[tuple]:
    """W_E, W_V, W_O and W_U."""
    shapes = [(9, 6, 2), (7, 8, 3)]
    return [noise(seed, (v, m), (m, h), (h, m), (m, v)) for seed, (v, m, h) in enumerate(shapes)]


def slow_ov(W_E: Tensor, W_V: Tensor, W_O: Tensor, W_U: Tensor) -> Tensor:
    """Token by token through the head, then the mean logit subtracted."""
    rows = []
    for embedding in W_E:
        logits = ((embedding @ W_V) @ W_O) @ W_U
        rows.append(logits - sum(logits) / len(logits))
    return torch.stack(rows)


def centred(table: Tensor) -> Tensor:
    """Each row less its mean."""
    return table - table.mean(1, keepdim=True)


OV_MISTAKES = {
    "not centred: subtract from each row its mean":
        lambda e, v, o, u: e @ v @ o @ u,
    "centred over the wrong axis: each row belongs to one source token and must have mean zero":
        lambda e, v, o, u: e @ v @ o @ u - (e @ v @ o @ u).mean(0),
    "centred along both axes: a softmax ignores only what is added to a whole row":
        lambda e, v, o, u: centred(e @ v @ o @ u) - centred(e @ v @ o @ u).mean(0),
    "one mean for the whole table: each row has its own":
        lambda e, v, o, u: e @ v @ o @ u - (e @ v @ o @ u).mean(),
    "transposed: rows are the tokens looked at, columns are the outputs":
        lambda e, v, o, u: centred(e @ v @ o @ u).T,
    "W_OV is transposed: a row meets W_V first, then W_O":
        lambda e, v, o, u: centred(e @ o.T @ v.T @ u),
    "W_E and W_U have changed places: tokens come in by W_E and go out by W_U":
        lambda e, v, o, u: centred(u.T @ v @ o @ e.T),
    "W_U is not W_E transposed: outputs are read off with W_U":
        lambda e, v, o, u: centred(e @ v @ o @ e.T),
    "the head is missing: that is the direct path":
        lambda e, v, o, u: centred(e @ u),
    "a softmax was taken: logits were asked":
        lambda e, v, o, u: (e @ v @ o @ u).softmax(-1),
    "a log-softmax subtracts more than the mean: logits were asked":
        lambda e, v, o, u: (e @ v @ o @ u).log_softmax(-1),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "4.1": Exercise(one_layer_models, slow_by_source, SOURCE_MISTAKES),
    "4.2": Exercise(shifts, slow_shift, SHIFT_MISTAKES),
    "4.3": Exercise(qk_weights, slow_qk, QK_MISTAKES),
    "4.4": Exercise(ov_weights, slow_ov, OV_MISTAKES),
}
