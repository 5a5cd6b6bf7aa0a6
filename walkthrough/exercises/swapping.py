"""Exercise 19.4: a change taken apart into what needs some heads and what they give alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from walkthrough.exercises.pulling import noise

Run = Callable[[Tensor], Tensor]


def a_run(seed: int) -> Run:
    """From the outputs of heads, [context head d_model], to a log-probability in each context, through a softmax."""
    W_U, rest = noise(4, 6, seed=seed), noise(4, seed=seed + 1)
    return lambda heads: ((heads.sum(1) + rest) @ W_U).log_softmax(-1)[:, 2]


def swaps() -> list[tuple]:
    """A run, the outputs of heads with a source and without, and the heads of an explanation."""
    return [
        (a_run(1), noise(5, 6, 4, seed=3), noise(5, 6, 4, seed=4), [1, 4]),
        (a_run(5), noise(3, 4, 4, seed=6), noise(3, 4, 4, seed=7), [2]),
    ]


def put_in(into: Tensor, of: Tensor, heads: list[int]) -> Tensor:
    """The outputs `into`, but those of some heads from `of`."""
    into = into.clone()
    into[:, heads] = of[:, heads]
    return into


def slow_swaps(run: Run, given: Tensor, without: Tensor, heads: list[int]) -> Tensor:
    """Context by context and head by head."""
    found = []
    for g, w in zip(given, without):
        lost = torch.stack([w[head] if head in heads else g[head] for head in range(len(g))])
        alone = torch.stack([g[head] if head in heads else w[head] for head in range(len(g))])
        four = [run(outputs[None])[0] for outputs in (g, w, lost, alone)]
        found.append(torch.stack([four[0] - four[1], four[0] - four[2], four[3] - four[1]]))
    return torch.stack(found, 1)


def three(whole: Tensor, necessary: Tensor, sufficient: Tensor) -> Tensor:
    """The answer's rows."""
    return torch.stack([whole, necessary, sufficient])


def with_others(run: Run, given: Tensor, without: Tensor, heads: list[int], stand_in: Tensor) -> Tensor:
    """What comes of it if something else stands in for the outputs without the source."""
    stand_in = stand_in.expand_as(given)
    low = run(without)
    return three(run(given) - low, run(given) - run(put_in(given, stand_in, heads)),
                 run(put_in(stand_in, given, heads)) - low)  # fmt: skip


def complement(given: Tensor, heads: list[int]) -> list[int]:
    """All other heads."""
    return [head for head in range(given.shape[1]) if head not in heads]


def left_over(run: Run, given: Tensor, without: Tensor, heads: list[int]) -> Tensor:
    """What is left without the heads, where what is lost is asked for."""
    right = slow_swaps(run, given, without, heads)
    return three(right[0], right[0] - right[1], right[2])


def not_subtracted(run: Run, given: Tensor, without: Tensor, heads: list[int]) -> Tensor:
    """Log-probabilities instead of differences."""
    return three(run(given), run(put_in(given, without, heads)), run(put_in(without, given, heads)))


def one_tensor(run: Run, given: Tensor, without: Tensor, heads: list[int]) -> Tensor:
    """With tensors that were changed in place, so that both names mean the same."""
    whole = run(given) - run(without)
    changed = put_in(given, without, heads)  # what `given` has become
    return three(whole, run(changed) - run(changed), run(without) - run(without))


SWAP_MISTAKES = {
    "the second row is what is LOST without the heads: the whole run less the run without them":
        left_over,
    "those are log-probabilities: all three rows are differences of two of them":
        not_subtracted,
    "that is the explanation of all OTHER heads: swap `heads` for the rest":
        lambda run, g, w, heads: slow_swaps(run, g, w, complement(g, heads)),
    "necessary and sufficient are swapped: first what is lost without the heads, then what they give alone":
        lambda run, g, w, heads: slow_swaps(run, g, w, heads)[[0, 2, 1]],
    "that is zero-ablation: what stands in is the output WITHOUT the source, not nothing":
        lambda run, g, w, heads: with_others(run, g, w, heads, torch.zeros(())),
    "that is mean-ablation: what stands in is each context's own output without the source, not the mean over contexts":
        lambda run, g, w, heads: with_others(run, g, w, heads, w.mean(0, keepdim=True)),
    "`mixed = given` makes no copy: what you then write into it changes `given` as well; use `given.clone()`":
        one_tensor,
}  # fmt: skip
