"""Exercise 3.1: where a head looks. Its inputs, the slow way, and what goes wrong on the way to a pattern."""

import math

import torch
from torch import Tensor


def draws(seed: int, *shapes: tuple[int, ...], size: float = 1.0) -> list[Tensor]:
    """Random tensors of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [size * torch.randn(shape, generator=generator) for shape in shapes]


def causal(scores: Tensor, diagonal: int = 1, value: float = -math.inf) -> Tensor:
    """The same scores with every later key set to `value`; with `diagonal` 0, the query's own position too."""
    return scores.masked_fill(torch.ones_like(scores).triu(diagonal).bool(), value)


def looking_heads() -> list[tuple]:
    """The stream, the position vectors of more positions than there are tokens, W_Q and W_K."""
    sizes = [(6, 9, 10, 4), (5, 7, 8, 3)]
    return [
        tuple(draws(seed, (n_pos, d_model), (n_ctx, d_model), (d_model, d_head), (d_model, d_head), size=0.6))
        for seed, (n_pos, n_ctx, d_model, d_head) in enumerate(sizes)
    ]


def slow_pattern(resid: Tensor, W_pos: Tensor, W_Q: Tensor, W_K: Tensor) -> Tensor:
    """Query by query, over the keys up to the query only."""
    pattern = torch.zeros(len(resid), len(resid))
    for query in range(len(resid)):
        q = (resid[query] + W_pos[query]) @ W_Q
        keys = [(resid[key] + W_pos[key]) @ W_K for key in range(query + 1)]
        weights = [math.exp(q @ k / math.sqrt(len(q))) for k in keys]
        pattern[query, : query + 1] = torch.tensor(weights) / sum(weights)
    return pattern


def scores(
    resid: Tensor, W_pos: Tensor, W_Q: Tensor, W_K: Tensor, *, on_q: float = 1.0, on_k: float = 1.0, first: int = 0
) -> Tensor:
    """Scores before mask and softmax; positions can be left out on either side, or counted from another one."""
    positions = W_pos[first : first + len(resid)]
    q, k = (resid + on_q * positions) @ W_Q, (resid + on_k * positions) @ W_K
    return q @ k.mT / math.sqrt(W_Q.shape[-1])


def without_keepdim(weights: Tensor) -> Tensor:
    """What a division by row sums gives if the sum has lost its axis: columns are divided."""
    return weights / weights.sum(-1)


def rescaled(factor: float, case: tuple) -> Tensor:
    """The pattern from scores that are larger by a factor."""
    return causal(factor * scores(*case)).softmax(-1)


PATTERN_MISTAKES = {
    "missing the 1/√d_head: divide the scores before the softmax":
        lambda *case: rescaled(math.sqrt(case[2].shape[-1]), case),
    "divided by d_head: the scores are divided by its square root":
        lambda *case: rescaled(1 / math.sqrt(case[2].shape[-1]), case),
    "multiplied by √d_head: the scores are divided by it":
        lambda *case: rescaled(float(case[2].shape[-1]), case),
    "divided by √d_model: the scale is √d_head, for q and k have d_head entries":
        lambda *case: rescaled(math.sqrt(case[2].shape[-1] / len(case[2])), case),
    "softmax over the wrong axis: each query's row must sum to 1":
        lambda *case: causal(scores(*case)).softmax(-2),
    "one softmax over the whole matrix: each query's row must sum to 1 by itself":
        lambda *case: causal(scores(*case)).flatten().softmax(0).reshape(len(case[0]), -1),
    "no causal mask: a query must not see later keys":
        lambda *case: scores(*case).softmax(-1),
    "the mask is upside down: the past is hidden and the future is seen":
        lambda *case: causal(scores(*case).mT).mT.softmax(-1),
    "the mask hides the diagonal, so the first row is nan: a token may look at itself, and the first has nothing else; "
    "take triu(1), not triu()":
        lambda *case: causal(scores(*case), 0).softmax(-1),
    "the mask hides the diagonal: a token may look at itself; take triu(1), not triu()":
        lambda *case: causal(scores(*case), 0, -1e9).softmax(-1),
    "the mask lets each query see one key too many: it may look at itself, not at the next token":
        lambda *case: causal(scores(*case), 2).softmax(-1),
    "masked after the softmax: rows no longer sum to 1, so mask the scores before it":
        lambda *case: causal(scores(*case).softmax(-1), value=0.0),
    "masked scores were set to 0, and exp(0) is 1: set them to minus infinity":
        lambda *case: causal(scores(*case), value=0.0).softmax(-1),
    "positions forgotten: add W_pos to what W_Q and W_K read":
        lambda *case: causal(scores(*case, on_q=0.0, on_k=0.0)).softmax(-1),
    "positions on the queries only: the keys need them too":
        lambda *case: causal(scores(*case, on_k=0.0)).softmax(-1),
    "positions on the keys only: the queries need them too":
        lambda *case: causal(scores(*case, on_q=0.0)).softmax(-1),
    "positions one too far: the first token, <BOS>, has position 0, the first row of W_pos":
        lambda *case: causal(scores(*case, first=1)).softmax(-1),
    "positions from the end of W_pos: the first token, <BOS>, has position 0, the first row":
        lambda *case: causal(scores(*case, first=len(case[1]) - len(case[0]))).softmax(-1),
    "W_Q and W_K are swapped: rows are queries":
        lambda r, p, q, k: causal(scores(r, p, k, q)).softmax(-1),
    "transposed: rows are queries and columns are keys":
        lambda *case: causal(scores(*case)).softmax(-1).mT,
    "a sum without keepdim=True: row sums divided the columns, so rows do not sum to 1":
        lambda *case: without_keepdim(causal(scores(*case)).exp()),
    "the exponentials were not divided by their sum: each row must sum to 1":
        lambda *case: causal(scores(*case)).exp(),
    "masked scores without a softmax: a pattern holds shares that sum to 1":
        lambda *case: causal(scores(*case)),
    "those are scores: a pattern is masked, and a softmax makes each row sum to 1":
        lambda *case: scores(*case),
}  # fmt: skip
CRASHED = "W_pos has a row for each position of the longest prompt: add only the first ones, as many as `resid` has"
