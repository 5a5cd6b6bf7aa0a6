"""The exercises of notebook 10."""

import itertools
import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise

# 10.1 all paths up to an order


def stacks() -> list[tuple]:
    """An order, an embedding, then patterns, W_V, W_O and W_U of a deeper model than those of the course."""
    cases = []
    for seed, (order, n_layers, n_heads) in enumerate([(1, 3, 2), (2, 3, 2), (2, 4, 1)]):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape, g=generator: torch.randn(*shape, generator=g)
        future = torch.ones(5, 5).triu(1).bool()
        patterns = (2 * draw(n_layers, n_heads, 5, 5)).masked_fill(future, -torch.inf).softmax(-1)
        weights = 0.6 * draw(n_layers, n_heads, 6, 3), 0.6 * draw(n_layers, n_heads, 3, 6), draw(6, 7)
        cases.append((order, draw(5, 6), patterns, *weights))
    return cases


def summed_paths(wanted, order, embed, patterns, W_V, W_O, W_U) -> Tensor:
    """Logits of the paths through `wanted(order, layers)`, where `layers` is the rising tuple of a path's layers."""
    n_layers, n_heads = patterns.shape[:2]
    total = torch.zeros_like(embed)
    for length in range(n_layers + 1):
        for layers in itertools.combinations(range(n_layers), length):
            for heads in itertools.product(range(n_heads), repeat=length):
                if wanted(order, layers):
                    resid = embed
                    for layer, head in zip(layers, heads):
                        resid = patterns[layer, head] @ resid @ W_V[layer, head] @ W_O[layer, head]
                    total = total + resid
    return total @ W_U


def slow_upto(*case) -> Tensor:
    """Every path by itself, and the sum of those that are short enough."""
    return summed_paths(lambda order, layers: len(layers) <= order, *case)


def round_by_round(order, embed, patterns, W_V, W_O, W_U) -> Tensor:
    """What comes of letting all heads read the same stream, `order` times: heads also read their own layer."""
    resid = embed
    for _ in range(order):
        every = [p @ resid @ v @ o for p, v, o in zip(patterns.flatten(0, 1), W_V.flatten(0, 1), W_O.flatten(0, 1))]
        resid = embed + sum(every)
    return resid @ W_U


UPTO_MISTAKES = {
    "only the paths of exactly this order: add the shorter ones":
        lambda *case: summed_paths(lambda order, layers: len(layers) == order, *case),
    "the direct path is missing: order 0 belongs to every sum":
        lambda *case: summed_paths(lambda order, layers: 0 < len(layers) <= order, *case),
    "that is the whole model: longer paths are in the sum, because heads read all that earlier layers wrote":
        lambda *case: summed_paths(lambda order, layers: True, *case),
    "paths may skip layers: a head reads every earlier layer, not only the one just before":
        lambda *case: summed_paths(
            lambda order, layers: len(layers) <= order and all(b == a + 1 for a, b in itertools.pairwise(layers)), *case
        ),
    "those are the paths of the first layers only: order counts the heads on a path, not layers":
        lambda *case: summed_paths(lambda order, layers: all(layer < order for layer in layers), *case),
    "one order too many: order counts the heads on a path, and the direct path has order 0":
        lambda *case: summed_paths(lambda order, layers: len(layers) <= order + 1, *case),
    "one order too few: order counts the heads on a path, and the direct path has order 0":
        lambda *case: summed_paths(lambda order, layers: len(layers) < order, *case),
    "heads read their own layer and later ones: a head reads earlier layers only":
        round_by_round,
    "layers in reverse: the path meets the first layer first":
        lambda n, x, a, v, o, u: slow_upto(n, x, a.flip(0), v.flip(0), o.flip(0), u),
    "patterns are transposed: their rows are queries":
        lambda n, x, a, v, o, u: slow_upto(n, x, a.mT, v, o, u),
    "no unembedding: logits are the stream times W_U":
        lambda n, x, a, v, o, u: slow_upto(n, x, a, v, o, torch.eye(x.shape[-1])),
}  # fmt: skip


# 10.2 how many virtual heads


def slow_count(n_layers: int, n_heads: int) -> int:
    """All paths, each layer giving one of its heads or none, of which those with two heads or more are counted."""
    choices = itertools.product([None, *range(n_heads)], repeat=n_layers)
    return sum(sum(head is not None for head in path) >= 2 for path in choices)


COUNT_MISTAKES = {
    "only pairs of heads: in deeper models a path can go through three and more":
        lambda n, h: math.comb(n, 2) * h**2,
    "only neighbouring layers: a path may skip layers":
        lambda n, h: sum((n - length + 1) * h**length for length in range(2, n + 1)),
    "only pairs in neighbouring layers: a path may skip layers, and go through three heads and more":
        lambda n, h: (n - 1) * h**2,
    "only the longest paths: a path may skip layers":
        lambda n, h: h**n,
    "that counts the direct path and single heads too: a virtual head has two heads or more":
        lambda n, h: (h + 1) ** n,
    "that counts single heads too: a virtual head has two heads or more":
        lambda n, h: (h + 1) ** n - 1,
    "that counts the direct path: a virtual head has two heads or more":
        lambda n, h: (h + 1) ** n - n * h,
    "any two heads, even of one layer: heads of the same layer do not read each other":
        lambda n, h: math.comb(n * h, 2),
}  # fmt: skip


# 10.3 alone, and given the others


def one_layer_terms() -> list[tuple]:
    """Logits of a direct path and of heads that overlap (one is much like another), and targets."""
    cases = []
    for seed, n_heads in enumerate([3, 4]):
        generator = torch.Generator().manual_seed(seed)
        direct, heads = torch.randn(6, 9, generator=generator), torch.randn(n_heads, 6, 9, generator=generator)
        heads[1] = 0.8 * heads[0] + 0.3 * heads[1]
        cases.append((direct, heads, torch.randint(0, 9, (6,), generator=generator)))
    return cases


def slow_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy, position by position."""
    losses = [math.log(sum(math.exp(x) for x in row)) - row[t] for row, t in zip(logits.tolist(), targets.tolist())]
    return torch.tensor(sum(losses) / len(losses))


def slow_worths(direct: Tensor, heads: Tensor, targets: Tensor) -> Tensor:
    """Four losses for each head."""
    worths = []
    for head in range(len(heads)):
        others = direct + sum(heads[other] for other in range(len(heads)) if other != head)
        alone = slow_loss(direct, targets) - slow_loss(direct + heads[head], targets)
        worths.append([alone, slow_loss(others, targets) - slow_loss(others + heads[head], targets)])
    return torch.tensor(worths)


def cumulative(direct: Tensor, heads: Tensor, targets: Tensor) -> Tensor:
    """What each head adds to the heads before it."""
    losses = torch.stack([slow_loss(direct + heads[:n].sum(0), targets) for n in range(len(heads) + 1)])
    return -losses.diff()


WORTH_MISTAKES = {
    "the two are swapped: column 0 is alone, column 1 given the others":
        lambda d, h, t: slow_worths(d, h, t).flip(1),
    "the sign is flipped: a head that lowers the loss wins, and its worth is positive":
        lambda d, h, t: -slow_worths(d, h, t),
    "summed over positions: take their mean":
        lambda d, h, t: slow_worths(d, h, t) * len(t),
    "the direct path is missing from all your sums":
        lambda d, h, t: slow_worths(0 * d, h, t),
    "alone means over the direct path: you added the head to nothing":
        lambda d, h, t: torch.stack([slow_worths(0 * d, h, t)[:, 0], slow_worths(d, h, t)[:, 1]], 1),
    "given the others means all others: you gave each head only those before it":
        lambda d, h, t: torch.stack([slow_worths(d, h, t)[:, 0], cumulative(d, h, t)], 1),
    "given the others: compare with the sum of all others, not with the direct path":
        lambda d, h, t: torch.stack(
            [slow_worths(d, h, t)[:, 0], torch.stack([slow_loss(d, t) - slow_loss(d + h.sum(0) - x, t) for x in h])], 1
        ),
    "the head was subtracted from the direct path: leave it out of the full sum":
        lambda d, h, t: torch.stack(
            [slow_worths(d, h, t)[:, 0], torch.stack([slow_loss(d - x, t) - slow_loss(d, t) for x in h])], 1
        ),
}  # fmt: skip


# 10.4 a difference of differences


def four_losses() -> list[tuple]:
    """Losses of two models before and after a step, on windows that are easy or hard for both."""
    cases = []
    for seed, n_windows in enumerate([6, 9]):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape, g=generator: torch.randn(*shape, generator=g)
        hard, helped = 1 + draw(n_windows, 1).abs(), draw(n_windows, 1).abs()
        before = 2 * hard + 0.3 * draw(2, n_windows, 5)
        after = before - torch.tensor([1.1, 0.8])[:, None, None] * helped + 0.2 * draw(2, n_windows, 5)
        cases.append((before[0], after[0], before[1], after[1]))
    return cases


def slow_difference(before_a: Tensor, after_a: Tensor, before_b: Tensor, after_b: Tensor) -> Tensor:
    """One number for each window, their mean, and the root of their variance over their number."""
    wins = [
        sum((x - y) - (z - w) for x, y, z, w in zip(*of_tokens)) / len(of_tokens[0])
        for of_tokens in zip(*(losses.tolist() for losses in (before_a, after_a, before_b, after_b)))
    ]
    mean = sum(wins) / len(wins)
    variance = sum((win - mean) ** 2 for win in wins) / (len(wins) - 1)
    return torch.tensor([mean, math.sqrt(variance / len(wins))])


def with_error(error):
    """The right mean, with a standard error that `error` makes of the wins of a and of b."""
    return lambda a, b, c, d: torch.stack([slow_difference(a, b, c, d)[0], error(a - b, c - d)])


def stderr(x: Tensor) -> Tensor:
    """Standard error of the mean of numbers in a row."""
    return x.std() / len(x) ** 0.5


DIFFERENCE_MISTAKES = {
    "tokens taken as independent: first average over each window, then take the error over windows":
        with_error(lambda a, b: stderr((a - b).flatten())),
    "errors of a and b combined as if independent: both saw the same windows, so take differences first":
        with_error(lambda a, b: (stderr(a.mean(1)) ** 2 + stderr(b.mean(1)) ** 2).sqrt()),
    "that is the standard deviation over windows: divide it by the root of their number":
        with_error(lambda a, b: (a - b).mean(1).std()),
    "divided by the number of windows: the standard error falls with its square root":
        with_error(lambda a, b: (a - b).mean(1).std() / len(a)),
    "that is the variance of the mean: its root was asked":
        with_error(lambda a, b: stderr((a - b).mean(1)) ** 2),
    "the mean was estimated from the same windows: divide by their number less one in the variance":
        with_error(lambda a, b: (a - b).mean(1).std(correction=0) / len(a) ** 0.5),
    "the sign of the mean is flipped: a win is the loss before less the loss after, and b's is taken from a's":
        lambda a, b, c, d: slow_difference(a, b, c, d) * torch.tensor([-1.0, 1.0]),
    "error over positions: average over the tokens of each window, not over windows":
        with_error(lambda a, b: stderr((a - b).mean(0))),
    "only the losses after the step are compared: a win is the loss before less the loss after":
        lambda a, b, c, d: slow_difference(0 * a, b, 0 * c, d),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "10.1": Exercise(stacks, slow_upto, UPTO_MISTAKES),
    "10.2": Exercise(lambda: [(2, 8), (3, 4), (4, 3)], slow_count, COUNT_MISTAKES),
    "10.3": Exercise(one_layer_terms, slow_worths, WORTH_MISTAKES),
    "10.4": Exercise(four_losses, slow_difference, DIFFERENCE_MISTAKES),
}
