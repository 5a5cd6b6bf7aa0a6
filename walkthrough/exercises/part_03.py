"""The exercises of notebook 03."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def random_head(seed: int, n_pos: int, d_model: int, d_head: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A stream, a causal pattern, W_V and W_O, all random and without symmetries."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    future = torch.ones(n_pos, n_pos).triu(1).bool()
    pattern = (2 * draw(n_pos, n_pos)).masked_fill(future, -torch.inf).softmax(-1)
    return draw(n_pos, d_model), pattern, draw(d_model, d_head), draw(d_head, d_model)


# 3.1 the patterns of a whole layer


def layers() -> list[tuple]:
    """The stream, the position vectors, and W_Q and W_K of a whole layer; more positions than tokens in one case."""
    cases = []
    for seed, (n_pos, n_ctx, d_model, n_heads, d_head) in enumerate([(6, 9, 10, 3, 4), (5, 5, 8, 2, 3)]):
        generator = torch.Generator().manual_seed(seed)
        shapes = (n_pos, d_model), (n_ctx, d_model), (n_heads, d_model, d_head), (n_heads, d_model, d_head)
        cases.append(tuple(0.6 * torch.randn(shape, generator=generator) for shape in shapes))
    return cases


def slow_patterns(resid: Tensor, W_pos: Tensor, W_Q: Tensor, W_K: Tensor) -> Tensor:
    """Head by head and query by query, over the keys up to the query only."""
    pattern = torch.zeros(len(W_Q), len(resid), len(resid))
    for head in range(len(W_Q)):
        for query in range(len(resid)):
            q = (resid[query] + W_pos[query]) @ W_Q[head]
            keys = [(resid[key] + W_pos[key]) @ W_K[head] for key in range(query + 1)]
            weights = [math.exp(q @ k / math.sqrt(len(q))) for k in keys]
            pattern[head, query, : query + 1] = torch.tensor(weights) / sum(weights)
    return pattern


def scores(resid: Tensor, W_pos: Tensor, W_Q: Tensor, W_K: Tensor, scale: float = 0.0) -> Tensor:
    """Scores of all heads, unmasked, divided by `scale` (√d_head if it is 0)."""
    placed = resid + W_pos[: len(resid)]
    return (placed @ W_Q) @ (placed @ W_K).mT / (scale or math.sqrt(W_Q.shape[-1]))


def masked(x: Tensor, value: float = -math.inf) -> Tensor:
    """The same with every later key set to `value`."""
    return x.masked_fill(torch.ones_like(x).triu(1).bool(), value)


PATTERN_MISTAKES = {
    "missing the 1/√d_head: divide the scores before the softmax":
        lambda r, p, q, k: masked(scores(r, p, q, k, 1.0)).softmax(-1),
    "divided by d_head: the scores are divided by its square root":
        lambda r, p, q, k: masked(scores(r, p, q, k, 1.0 * q.shape[-1])).softmax(-1),
    "divided by √d_model: the scale is √d_head, for q and k have d_head entries":
        lambda r, p, q, k: masked(scores(r, p, q, k, math.sqrt(len(p[0])))).softmax(-1),
    "softmax over the wrong axis: each query's row must sum to 1":
        lambda r, p, q, k: masked(scores(r, p, q, k)).softmax(-2),
    "no causal mask: a query must not see later keys":
        lambda r, p, q, k: scores(r, p, q, k).softmax(-1),
    "the mask is upside down: the past is hidden and the future is seen":
        lambda r, p, q, k: masked(scores(r, p, q, k).mT).mT.softmax(-1),
    "masked after the softmax: rows no longer sum to 1, so mask the scores before it":
        lambda r, p, q, k: masked(scores(r, p, q, k).softmax(-1), 0.0),
    "masked scores were set to 0, and e⁰ is 1: set them to -inf":
        lambda r, p, q, k: masked(scores(r, p, q, k), 0.0).softmax(-1),
    "positions forgotten: add W_pos to what W_Q and W_K read":
        lambda r, p, q, k: masked(scores(r, 0 * p, q, k)).softmax(-1),
    "W_Q and W_K are swapped: rows are queries":
        lambda r, p, q, k: masked(scores(r, p, k, q)).softmax(-1),
    "transposed: rows are queries and columns are keys":
        lambda r, p, q, k: masked(scores(r, p, q, k)).softmax(-1).mT,
    "masked scores without a softmax: a pattern holds shares that sum to 1":
        lambda r, p, q, k: masked(scores(r, p, q, k)),
}  # fmt: skip


# 3.2 the loudest source


def sources() -> list[tuple]:
    """Pattern, stream and the paper's W_OV, with streams of very different lengths at the keys."""
    heads = [random_head(seed, 9, 7, 3) for seed in range(3)]
    loudness = 2 * torch.rand(9, 1, generator=torch.Generator().manual_seed(0))
    return [(pattern, loudness * resid, (W_V @ W_O).T.contiguous()) for resid, pattern, W_V, W_O in heads]


def slow_loudest(pattern: Tensor, resid: Tensor, W_OV: Tensor) -> Tensor:
    """The length of what arrives from each key, one pair at a time."""
    loudest = []
    for query in range(len(pattern)):
        lengths = [(pattern[query, key] * (W_OV @ resid[key])).norm().item() for key in range(len(resid))]
        loudest.append(lengths.index(max(lengths)))
    return torch.tensor(loudest)


LOUDEST_MISTAKES = {
    "the most attended key, not the loudest: attention must be weighed by the length of what it moves":
        lambda a, x, w: a.argmax(-1),
    "the longest vector whatever the attention: multiply each length by the attention paid":
        lambda a, x, w: (x @ w.T).norm(dim=-1).expand(len(a), -1).argmax(-1),
    "wrong axis: you chose a query for each key, where a key for each query was asked":
        lambda a, x, w: (a * (x @ w.T).norm(dim=-1)).argmax(0),
    "W_OV is the paper's and acts on columns: on our rows it is resid @ W_OV.T":
        lambda a, x, w: (a * (x @ w).norm(dim=-1)).argmax(-1),
    "that is the length of the stream at each key: the head moves only W_OV of it":
        lambda a, x, w: (a * x.norm(dim=-1)).argmax(-1),
    "off by one: did you count <BOS>?":
        lambda a, x, w: (a * (x @ w.T).norm(dim=-1))[:, 1:].argmax(-1),
    "<BOS> was left out: it is a key like any other":
        lambda a, x, w: (a * (x @ w.T).norm(dim=-1))[:, 1:].argmax(-1) + 1,
}  # fmt: skip


# 3.3 a head as one matrix


def factored_heads() -> list[tuple]:
    """Pattern, W_V and W_O."""
    return [random_head(seed, n_pos, 5, 2)[1:] for seed, n_pos in enumerate([3, 4])]


def slow_matrix(A: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """Column by column: what the head makes of a stream that is zero but for a single 1."""
    streams = torch.eye(len(A) * len(W_V)).unflatten(1, (len(A), len(W_V)))
    return torch.stack([(A @ x @ W_V @ W_O).reshape(-1) for x in streams], -1)


MATRIX_MISTAKES = {
    "kron(W, A) is for columns stacked under one another: reshape(-1) lays rows end to end":
        lambda a, v, o: torch.kron((v @ o).T.contiguous(), a),
    "W_V @ W_O is the transpose of the paper's W_OV: a matrix that acts from the left needs the paper's":
        lambda a, v, o: torch.kron(a, v @ o),
    "two slips: kron(W, A) is for stacked columns, and W_V @ W_O is the transpose of the paper's W_OV":
        lambda a, v, o: torch.kron(v @ o, a),
    "the pattern is transposed: its rows are queries":
        lambda a, v, o: torch.kron(a.T.contiguous(), (v @ o).T.contiguous()),
    "transposed: the whole matrix must act from the left, on resid.reshape(-1)":
        lambda a, v, o: torch.kron(a.T.contiguous(), v @ o),
    "W_O @ W_V is only d_head × d_head: a head first reads with W_V and then writes with W_O":
        lambda a, v, o: torch.kron(a, (o @ v).T.contiguous()),
    "that is Id ⊗ W_OV, which moves nothing: the pattern is missing":
        lambda a, v, o: torch.block_diag(*[(v @ o).T] * len(a)),
}  # fmt: skip


# 3.4 a virtual head


def pairs_of_heads() -> list[tuple]:
    """A stream, then pattern, W_V and W_O of an earlier and of a later head."""
    return [random_head(seed, 6, 7, 3) + random_head(seed + 10, 6, 7, 3)[1:] for seed in range(2)]


def slow_virtual(
    resid: Tensor, A1: Tensor, W_V1: Tensor, W_O1: Tensor, A2: Tensor, W_V2: Tensor, W_O2: Tensor
) -> Tensor:
    """The sum over every path from key to middle to query."""
    output = torch.zeros_like(resid)
    for query in range(len(resid)):
        for middle in range(len(resid)):
            for key in range(len(resid)):
                written = A1[middle, key] * (resid[key] @ W_V1 @ W_O1)
                output[query] += A2[query, middle] * (written @ W_V2 @ W_O2)
    return output


VIRTUAL_MISTAKES = {
    "patterns in the wrong order: the later head is on the left, A2 @ A1":
        lambda x, a, v, o, a2, v2, o2: a @ a2 @ x @ v @ o @ v2 @ o2,
    "OV maps in the wrong order: rows meet head 1 first, resid @ W_V1 @ W_O1 @ W_V2 @ W_O2":
        lambda x, a, v, o, a2, v2, o2: a2 @ a @ x @ v2 @ o2 @ v @ o,
    "the heads are swapped: head 1 is in the earlier layer, head 2 reads what it wrote":
        lambda x, a, v, o, a2, v2, o2: a @ a2 @ x @ v2 @ o2 @ v @ o,
    "the two outputs were added: a virtual head is one head applied to the other's output":
        lambda x, a, v, o, a2, v2, o2: a @ x @ v @ o + a2 @ x @ v2 @ o2,
    "patterns multiplied entry by entry: attention from query to middle to key is the matrix product A2 @ A1":
        lambda x, a, v, o, a2, v2, o2: (a2 * a) @ x @ v @ o @ v2 @ o2,
    "that includes what head 2 moves by itself: only what it takes from head 1 was asked":
        lambda x, a, v, o, a2, v2, o2: a2 @ (x + a @ x @ v @ o) @ v2 @ o2,
    "pattern of head 1 forgotten: head 1 also moves between positions":
        lambda x, a, v, o, a2, v2, o2: a2 @ x @ v @ o @ v2 @ o2,
    "pattern of head 2 forgotten: head 2 also moves between positions":
        lambda x, a, v, o, a2, v2, o2: a @ x @ v @ o @ v2 @ o2,
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "3.1": Exercise(layers, slow_patterns, PATTERN_MISTAKES),
    "3.2": Exercise(sources, slow_loudest, LOUDEST_MISTAKES),
    "3.3": Exercise(factored_heads, slow_matrix, MATRIX_MISTAKES),
    "3.4": Exercise(pairs_of_heads, slow_virtual, VIRTUAL_MISTAKES),
}
