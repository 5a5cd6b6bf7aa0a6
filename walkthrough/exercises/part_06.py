"""The exercises of notebook 06."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.bug_hunting import BUG_MISTAKES, slow_bug, tables
from walkthrough.exercises.exercise import Exercise

# 6.1 the fourth entry


def entries() -> list[tuple]:
    """Two right entries and a crossed one, of heads whose attention differs between the two destinations."""
    return [(2.4, 1.0, 1.6), (3.0, 0.2, 0.5), (0.7, 4.5, -1.5), (-2.0, 1.25, 0.4)]


def slow_fourth(right: float, other_right: float, crossed: float) -> float:
    """By the attention and logits that make such a table: the first destination has attention 1."""
    first_out, second_out = right, crossed
    other_attention = other_right / second_out
    return other_attention * first_out


FOURTH_MISTAKES = {
    "that is the law of a sum: what a head adds is a product, so that the diagonals have the same product, not the same sum":
        lambda r, o, c: r + o - c,
    "the product of all three: divide the product of the right entries by the crossed one":
        lambda r, o, c: r * o * c,
    "the product of the right entries is that of BOTH crossed entries: divide by the one you know":
        lambda r, o, c: r * o,
    "upside down: the product of the right entries, divided by the crossed one":
        lambda r, o, c: c / (r * o),
    "the crossed entry was multiplied by the wrong ratio: it stands on the same diagonal as the one you look for":
        lambda r, o, c: c * o / r,
    "the crossed entry was multiplied by a ratio of the right ones: it stands on the same diagonal as the one you look for":
        lambda r, o, c: c * r / o,
    "that is the other crossed entry itself: they need not be equal":
        lambda r, o, c: c,
    "that is the mean of the right entries: what a head adds is a product":
        lambda r, o, c: (r + o) / 2,
}  # fmt: skip


# 6.2 the Jensen-Shannon divergence


def distributions(seed: int, n_outs: int, n: int) -> Tensor:
    """Distributions without symmetries, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return (1.5 * torch.randn(n, n_outs, generator=generator, dtype=torch.float64)).softmax(-1)


def pairs_of_distributions() -> list[tuple]:
    """Two distributions over the same outs, some of them with zeros."""
    cases = [tuple(distributions(seed, n_outs, 2)) for seed, n_outs in enumerate((2, 5, 9))]
    with_zeros = torch.tensor([0.5, 0.3, 0.2, 0.0]), torch.tensor([0.0, 0.6, 0.1, 0.3])
    return [*cases, tuple(x.double() for x in with_zeros)]


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL divergence in nats, with 0 log 0 = 0."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum()


def slow_js(p: Tensor, q: Tensor) -> float:
    """Out by out, as the entropy of the average less the average of the entropies."""
    entropy = lambda values: -sum(x * math.log(x) for x in values if x > 0)
    one, other = p.tolist(), q.tolist()
    return entropy([(x + y) / 2 for x, y in zip(one, other)]) - (entropy(one) + entropy(other)) / 2


JS_MISTAKES = {
    "the two KL divergences were added: take their mean":
        lambda p, q: kl(p, (p + q) / 2) + kl(q, (p + q) / 2),
    "the KL divergence of the first distribution alone: take the mean of both":
        lambda p, q: kl(p, (p + q) / 2),
    "the KL divergence of the second distribution alone: take the mean of both":
        lambda p, q: kl(q, (p + q) / 2),
    "compared with each other instead of with their average":
        lambda p, q: (kl(p, q) + kl(q, p)) / 2,
    "that is the KL divergence of the second from the first: both are compared with their average":
        lambda p, q: kl(p, q),
    "the other way round: the distributions are true, and their average is what is said":
        lambda p, q: (kl((p + q) / 2, p) + kl((p + q) / 2, q)) / 2,
    "the average was not halved: it has to be a distribution again":
        lambda p, q: (kl(p, p + q) + kl(q, p + q)) / 2,
    "in bits: use the natural logarithm for nats":
        lambda p, q: slow_js(p, q) / math.log(2),
    "its root, the Jensen-Shannon distance: the cost is the divergence itself":
        lambda p, q: slow_js(p, q) ** 0.5,
    "one number for each out: add them up":
        lambda p, q: (torch.xlogy(p, 2 * p / (p + q)) + torch.xlogy(q, 2 * q / (p + q))) / 2,
    "averaged over the outs: add them up":
        lambda p, q: slow_js(p, q) / len(p),
    "something like 0 times log 0 gave nan: such a term counts as 0, as in torch.xlogy(p, p / middle)":
        lambda p, q: ((p * (2 * p / (p + q)).log()).sum() + (q * (2 * q / (p + q)).log()).sum()) / 2,
}  # fmt: skip


# 6.4 KL to second order


def truths_and_models() -> list[tuple]:
    """True probabilities, and a model's that differ from them a good deal."""
    return [tuple(distributions(seed, n_outs, 2)) for seed, n_outs in ((3, 3), (4, 6), (5, 4))]


def slow_second_order(true: Tensor, model: Tensor) -> float:
    """Out by out."""
    return sum((p - q) ** 2 / q for p, q in zip(true.tolist(), model.tolist())) / 2


ORDER_MISTAKES = {
    "divided by the true probability: KL is expanded about the model's, which stands below the squares":
        lambda p, q: ((p - q) ** 2 / (2 * p)).sum(),
    "the factor 2 below the squares is missing":
        lambda p, q: ((p - q) ** 2 / q).sum(),
    "half of the squares, but not divided by the model's probability: the same error costs more where the out is rare":
        lambda p, q: ((p - q) ** 2 / 2).sum(),
    "the squares alone: divide each by twice the model's probability":
        lambda p, q: ((p - q) ** 2).sum(),
    "the model's probability was squared, too: only the error is":
        lambda p, q: (((p - q) / q) ** 2 / 2).sum(),
    "the errors are not squared: they would cancel":
        lambda p, q: ((p - q) / (2 * q)).sum(),
    "absolute errors in place of squares":
        lambda p, q: ((p - q).abs() / (2 * q)).sum(),
    "that is the exact KL divergence: here the sum of squares is asked for":
        kl,
    "one number for each out: add them up":
        lambda p, q: (p - q) ** 2 / (2 * q),
    "averaged over the outs: add them up":
        lambda p, q: ((p - q) ** 2 / (2 * q)).mean(),
}  # fmt: skip


# 6.5 errors that two halves share


def halves() -> list[tuple]:
    """Frequencies in two halves, and a model's probabilities."""
    return [tuple(distributions(seed, n_outs, 3)) for seed, n_outs in ((6, 4), (7, 3), (8, 7))]


def slow_shared(first: Tensor, second: Tensor, model: Tensor) -> float:
    """Out by out."""
    outs = zip(first.tolist(), second.tolist(), model.tolist())
    return sum((one - q) * (two - q) / q for one, two, q in outs) / 2


def both(a: Tensor, b: Tensor) -> Tensor:
    """The mean of the two halves."""
    return (a + b) / 2


SHARED_MISTAKES = {
    "the error of the first half was squared, noise included: multiply it by that of the second":
        lambda a, b, q: ((a - q) ** 2 / (2 * q)).sum(),
    "the error of the second half was squared, noise included: multiply it by that of the first":
        lambda a, b, q: ((b - q) ** 2 / (2 * q)).sum(),
    "the halves were averaged before the error was squared: so the noise is squared, too":
        lambda a, b, q: ((both(a, b) - q) ** 2 / (2 * q)).sum(),
    "the squares of the two halves were averaged: so noise is squared, too; multiply the one error by the other":
        lambda a, b, q: (((a - q) ** 2 + (b - q) ** 2) / (4 * q)).sum(),
    "the errors were added up before they were multiplied: multiply out by out":
        lambda a, b, q: (a - q).sum() * (b - q).sum() / 2,
    "the difference between the halves is noise: the errors are differences from the model":
        lambda a, b, q: ((a - b) ** 2 / (2 * q)).sum(),
    "the frequencies were multiplied, not the errors: subtract the model's probability from each":
        lambda a, b, q: (a * b / (2 * q)).sum(),
    "the factor 2 below the products is missing":
        lambda a, b, q: ((a - q) * (b - q) / q).sum(),
    "not divided by the model's probability: the same error costs more where the out is rare":
        lambda a, b, q: ((a - q) * (b - q) / 2).sum(),
    "negative products were made positive: they have to cancel the noise of the others":
        lambda a, b, q: ((a - q) * (b - q)).abs().div(2 * q).sum(),
    "negative products were set to 0: they have to cancel the noise of the others":
        lambda a, b, q: ((a - q) * (b - q)).clamp_min(0).div(2 * q).sum(),
    "one number for each out: add them up":
        lambda a, b, q: (a - q) * (b - q) / (2 * q),
    "averaged over the outs: add them up":
        lambda a, b, q: ((a - q) * (b - q) / (2 * q)).mean(),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "6.1": Exercise(entries, slow_fourth, FOURTH_MISTAKES),
    "6.2": Exercise(pairs_of_distributions, slow_js, JS_MISTAKES),
    "6.3": Exercise(tables, slow_bug, BUG_MISTAKES),
    "6.4": Exercise(truths_and_models, slow_second_order, ORDER_MISTAKES),
    "6.5": Exercise(halves, slow_shared, SHARED_MISTAKES),
}
