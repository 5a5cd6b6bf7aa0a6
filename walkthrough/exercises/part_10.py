"""The exercises of notebook 10: what a term is worth (paths up to an order: `orders`; a difference of wins: `wins`)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.orders import UPTO_MISTAKES, slow_upto, stacks
from walkthrough.exercises.wins import DIFFERENCE_MISTAKES, four_losses, slow_difference

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


# 10.5 leave one out


def full_sums() -> list[tuple]:
    """Full sums in which the term has its part, and targets that the term helps and targets that it harms."""
    cases = []
    for seed, shape in enumerate([(5, 9), (8, 6)]):
        generator = torch.Generator().manual_seed(seed)
        rest, term = torch.randn(2, *shape, generator=generator)
        targets = torch.randint(0, shape[1], shape[:1], generator=generator)
        cases.append((rest + 1.5 * term, 1.5 * term + 0.7, targets))
    return cases


def parts(before: Tensor, added: Tensor, targets: Tensor) -> Tensor:
    """Slope and curvature of adding something: the derivative by a small step, and what it leaves of the change."""
    slope = slow_slope(before, added, targets)
    return torch.stack([slope, change(before, before + added, targets) - slope], 1)


def change(before: Tensor, after: Tensor, targets: Tensor) -> Tensor:
    """The loss after less the loss before."""
    return losses_at(after, targets) - losses_at(before, targets)


def column(number: int, values: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The right answer, but for one column."""

    def answer(full: Tensor, term: Tensor, targets: Tensor) -> Tensor:
        """Both columns."""
        columns = list(parts(full, -term, targets).T)
        columns[number] = values(full, term, targets)
        return torch.stack(columns, 1)

    return answer


OUT_MISTAKES = {
    "those are the parts of adding the term, signs turned: start at the full sum, whose probabilities you need":
        lambda f, d, t: -parts(f - d, d, t),
    "those are the parts of adding the term to what is left: start at the full sum, and take the term away":
        lambda f, d, t: parts(f - d, d, t),
    "the term was added to the full sum once more: to leave it out, add minus the term":
        lambda f, d, t: parts(f, d, t),
    "the slope's sign is flipped, and the curvature with it is wrong: what is added is minus the term":
        lambda f, d, t: torch.stack([slow_slope(f, d, t), change(f, f - d, t) - slow_slope(f, d, t)], 1),
    "the sign of the slope is flipped: what is added is minus the term":
        column(0, slow_slope),
    "the sign is flipped: the change is the loss without the term less the loss with it":
        lambda f, d, t: -parts(f, -d, t),
    "the two are swapped: column 0 is the slope, column 1 the curvature":
        lambda f, d, t: parts(f, -d, t).flip(1),
    "column 1 is the whole change: the curvature is what the slope leaves of it":
        column(1, lambda f, d, t: change(f, f - d, t)),
    "column 0 is the whole change: the slope is how fast the loss begins to change":
        column(0, lambda f, d, t: change(f, f - d, t)),
    "the slope takes the probabilities without the term: take those of the full sum":
        column(0, lambda f, d, t: slow_slope(f - d, -d, t)),
    "the curvature is that of adding the term: the divergence starts at the probabilities of the full sum":
        column(1, lambda f, d, t: parts(f - d, d, t)[:, 1]),
    "in bits: take natural logarithms, so that the answer is in nats":
        lambda f, d, t: parts(f, -d, t) / math.log(2),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "10.1": Exercise(one_layer_terms, slow_worths, WORTH_MISTAKES),
    "10.2": Exercise(fading_terms, slow_slope, SLOPE_MISTAKES),
    "10.3": Exercise(stacks, slow_upto, UPTO_MISTAKES),
    "10.4": Exercise(four_losses, slow_difference, DIFFERENCE_MISTAKES),
    "10.5": Exercise(full_sums, lambda full, term, targets: parts(full, -term, targets), OUT_MISTAKES),
}
