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


# 6.4 errors that two halves share


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


# 6.5 what a better table could mend


def contexts() -> list[tuple]:
    """Errors of contexts, how often each out was expected, and keys in no order, of which one may not occur."""
    cases = []
    for seed, (keys, n_outs) in enumerate(
        (([1, 0, 2, 0, 1, 0, 2], 3), ([3, 0, 3, 1, 0, 3], 5), ([0, 2, 1, 2, 2, 0], 4))
    ):
        generator = torch.Generator().manual_seed(seed)
        expected = 2 + 60 * torch.rand(len(keys), n_outs, generator=generator) ** 2
        wrong = 0.3 * expected * torch.randn(len(keys), n_outs, generator=generator)
        cases.append((wrong, expected, torch.tensor(keys)))
    return cases


def slow_mend(wrong: Tensor, expected: Tensor, key: Tensor) -> Tensor:
    """Key by key, out by out: the line through zero that fits the errors best, each weighted by 1 / expected."""
    left = wrong.clone()
    for row in set(key.tolist()):
        same = key == row
        for out in range(wrong.shape[1]):
            y, x = wrong[same, out], expected[same, out]
            left[same, out] = y - x * (y * x / x).sum() / (x * x / x).sum()
    return left


def summed(values: Tensor, key: Tensor) -> Tensor:
    """For each context the sum over all contexts with its key."""
    return torch.stack([values[key == row].sum(0) for row in key])


def averaged(values: Tensor, key: Tensor) -> Tensor:
    """For each context the mean over all contexts with its key."""
    return torch.stack([values[key == row].mean(0) for row in key])


MEND_MISTAKES = {
    "that is the table, spread over the contexts: return what is left when expected times it is subtracted":
        lambda w, e, k: summed(w, k) / summed(e, k),
    "that is what the table mends: return what is left, wrong less that":
        lambda w, e, k: e * summed(w, k) / summed(e, k),
    "it was added where it has to be subtracted":
        lambda w, e, k: w + e * summed(w, k) / summed(e, k),
    "the logits were subtracted as they are: a logit moves counts by expected times it":
        lambda w, e, k: w - summed(w, k) / summed(e, k),
    "the mean of the ratios: take the ratio of the sums, so that frequent contexts count for more":
        lambda w, e, k: w - e * averaged(w / e, k),
    "the mean error of contexts with the same key was subtracted from each: it has to be shared in proportion to expected":
        lambda w, e, k: w - averaged(w, k),
    "the sums run over all contexts: each key has a row of its own":
        lambda w, e, k: w - e * w.sum(0) / e.sum(0),
    "every context was mended by itself, so that nothing is left: contexts with the same key share a row":
        lambda w, e, k: torch.zeros_like(w),
    "summed over the outs, too: each out has its own entry of the table":
        lambda w, e, k: w - e * summed(w, k).sum(1, keepdim=True) / summed(e, k).sum(1, keepdim=True),
    "weighted by the squares of expected: the weight of an error is one over expected, so that plain sums are divided":
        lambda w, e, k: w - e * summed(w * e, k) / summed(e * e, k),
    "nothing was subtracted":
        lambda w, e, k: w,
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "6.1": Exercise(entries, slow_fourth, FOURTH_MISTAKES),
    "6.2": Exercise(pairs_of_distributions, slow_js, JS_MISTAKES),
    "6.3": Exercise(tables, slow_bug, BUG_MISTAKES),
    "6.4": Exercise(halves, slow_shared, SHARED_MISTAKES),
    "6.5": Exercise(contexts, slow_mend, MEND_MISTAKES),
}
