"""The exercises of notebook 10: what a term is worth (paths up to an order: `orders`)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.orders import COUNT_MISTAKES, UPTO_MISTAKES, slow_count, slow_upto, stacks

# 10.1 alone, and given the others


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


def minus_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """What someone puts in place of the loss who counts in probabilities: less is better."""
    return -torch.tensor([row.softmax(-1)[t] for row, t in zip(logits, targets)]).mean()


def minus_log_mean(logits: Tensor, targets: Tensor) -> Tensor:
    """The logarithm of the mean probability, where the mean of the logarithms was asked."""
    return -(-minus_probability(logits, targets)).log()


def slow_worths(direct: Tensor, heads: Tensor, targets: Tensor, slow_loss: Callable = slow_loss) -> Tensor:
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
    "those are differences of probabilities: a loss is minus the logarithm of a probability, in nats":
        lambda d, h, t: slow_worths(d, h, t, minus_probability),
    "the probabilities were averaged before the logarithm: take the loss at each position, and then the mean":
        lambda d, h, t: slow_worths(d, h, t, minus_log_mean),
    "in bits: take natural logarithms, so that the answer is in nats":
        lambda d, h, t: slow_worths(d, h, t) / math.log(2),
    "those are losses with the head: a worth is a difference of two losses":
        lambda d, h, t: torch.tensor([[slow_loss(d + x, t), slow_loss(d + h.sum(0), t)] for x in h]),
    "both columns are alone: column 1 is given the others":
        lambda d, h, t: slow_worths(d, h, t)[:, [0, 0]],
    "both columns are given the others: column 0 is alone, over the direct path only":
        lambda d, h, t: slow_worths(d, h, t)[:, [1, 1]],
    "given the others: the direct path is one of the others, and it is missing":
        lambda d, h, t: torch.stack([slow_worths(d, h, t)[:, 0], slow_worths(0 * d, h, t)[:, 1]], 1),
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


# 10.2 the slope of a term


def fading_terms() -> list[tuple]:
    """Logits, a term large enough for its slope not to be its whole effect, and targets."""
    cases = []
    for seed, shape in enumerate([(5, 9), (7, 4)]):
        generator = torch.Generator().manual_seed(seed)
        logits, term = torch.randn(2, *shape, generator=generator)
        cases.append((2 * logits, 2 * term + 0.7, torch.randint(0, shape[1], shape[:1], generator=generator)))
    return cases


def losses_at(logits: Tensor, targets: Tensor) -> Tensor:
    """The loss at each position, by logarithms and exponentials."""
    rows = zip(logits.double().tolist(), targets.tolist())
    losses = [math.log(sum(math.exp(x) for x in row)) - row[t] for row, t in rows]
    return torch.tensor(losses, dtype=torch.float64)


def slow_slope(logits: Tensor, term: Tensor, targets: Tensor) -> Tensor:
    """A small step forth and one back: the difference of the losses over that of the steps."""
    step = 1e-4
    forth, back = (losses_at(logits.double() + sign * step * term.double(), targets) for sign in (1, -1))
    return (forth - back) / (2 * step)


def weighted(weights: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A slope in which the expected token is made with these weights, of logits and term, instead of probabilities."""
    return lambda x, d, t: (weights(x, d) * d).sum(-1) - d.gather(1, t[:, None])[:, 0]


def at_target(x: Tensor, targets: Tensor) -> Tensor:
    """The entry of the target at each position."""
    return x.gather(1, targets[:, None])[:, 0]


SLOPE_MISTAKES = {
    "the sign is flipped: a term that raises the target lowers the loss, so its slope is below zero":
        lambda x, d, t: -slow_slope(x, d, t),
    "that is the whole change of the loss: the slope is how fast it begins to change":
        lambda x, d, t: losses_at(x + d, t) - losses_at(x, t),
    "that is the curvature, what the slope leaves of the whole change":
        lambda x, d, t: losses_at(x + d, t) - losses_at(x, t) - slow_slope(x, d, t),
    "those are the probabilities with the term: take those before it is added":
        weighted(lambda x, d: (x + d).softmax(-1)),
    "those are the term's own probabilities: take those of the logits that it is added to":
        weighted(lambda x, d: d.softmax(-1)),
    "every token counts the same in your expected token: weight it by the model's probabilities":
        weighted(lambda x, d: torch.full_like(d, 1 / d.shape[1])),
    "logits are no weights: turn them into probabilities by a softmax first":
        weighted(lambda x, d: x),
    "log-probabilities are no weights: exponentiate them":
        weighted(lambda x, d: x.log_softmax(-1)),
    "the softmax ran over positions: it runs over the vocabulary":
        weighted(lambda x, d: x.softmax(0)),
    "only the target's part: add what the expected token gets, the mean weighted by probabilities":
        lambda x, d, t: -at_target(d, t),
    "only the expected token's part: take away what the target gets":
        lambda x, d, t: (x.softmax(-1) * d).sum(-1),
    "that is how fast the target's probability changes: the loss is minus its logarithm":
        lambda x, d, t: -at_target(x.softmax(-1), t) * slow_slope(x, d, t),
}  # fmt: skip


# 10.5 a difference of differences


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
    "summed over the tokens of each window: take their mean":
        lambda a, b, c, d: slow_difference(a, b, c, d) * a.shape[1],
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
    "10.1": Exercise(one_layer_terms, slow_worths, WORTH_MISTAKES),
    "10.2": Exercise(fading_terms, slow_slope, SLOPE_MISTAKES),
    "10.3": Exercise(stacks, slow_upto, UPTO_MISTAKES),
    "10.4": Exercise(lambda: [(2, 8), (3, 4), (4, 3), (1, 5), (5, 1)], slow_count, COUNT_MISTAKES),
    "10.5": Exercise(four_losses, slow_difference, DIFFERENCE_MISTAKES),
}
