"""The exercises of notebook 17: tokens as particles on a sphere."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.gathering import FORCE_MISTAKES, RATE_MISTAKES, angles, forced, points, slow_force, slow_rate

# 17.2 the energy


def charged() -> list[tuple]:
    """Tokens and beta."""
    return [(points(5, 3, seed=4), 2.0), (points(3, 2, seed=5), 0.7)]


def slow_energy(x: np.ndarray, beta: float) -> float:
    """Pair by pair."""
    total = 0.0
    for a, b in product(x, x):
        total += math.exp(beta * float(a @ b))
    return total / len(x) ** 2 / (2 * beta)


def mean_push(x: np.ndarray, beta: float, *, pairs: Callable = lambda c: c.ravel()) -> float:
    """The mean of e^(beta cosine) over chosen pairs."""
    return float(np.exp(beta * pairs(x @ x.T)).mean())


def different(cosines: np.ndarray) -> np.ndarray:
    """Those of different tokens."""
    return cosines[~np.eye(len(cosines), dtype=bool)]


ENERGY_MISTAKES = {
    "a token with itself is a pair here, too: the mean is over all n^2 pairs":
        lambda x, b: mean_push(x, b, pairs=different) / (2 * b),
    "the pairs of a token with itself are left out of the sum: they belong to it, and there are n^2 pairs":
        lambda x, b: mean_push(x, b, pairs=different) * (len(x) - 1) / len(x) / (2 * b),
    "that is the sum over pairs: take their mean":
        lambda x, b: mean_push(x, b) * len(x) ** 2 / (2 * b),
    "divided by n, not by n^2: there are n^2 pairs":
        lambda x, b: mean_push(x, b) * len(x) / (2 * b),
    "the mean is right; the energy is this mean over 2 beta":
        lambda x, b: mean_push(x, b),
    "the energy is the mean over TWO beta":
        lambda x, b: mean_push(x, b) / b,
    "multiplied by beta over two, where it has to be divided by two beta":
        lambda x, b: mean_push(x, b) * b / 2,
    "beta is missing in the exponent":
        lambda x, b: mean_push(x, 1.0) / (2 * b),
    "take the exponential of each pair first, and then the mean: not the exponential of the mean":
        lambda x, b: math.exp(b * float((x @ x.T).mean())) / (2 * b),
    "the exponential is missing":
        lambda x, b: b * float((x @ x.T).mean()) / (2 * b),
    "this energy has no minus sign in the exponent: it is largest where all tokens are one point":
        lambda x, b: mean_push(x, -b) / (2 * b),
    "that is one number for each token: take the mean over both tokens of a pair":
        lambda x, b: np.exp(b * x @ x.T).mean(1) / (2 * b),
}  # fmt: skip


# 17.4 count the clusters


def groups() -> list[tuple]:
    """Cosines of points on the circle in no order: chains, pairs, single ones; and of points of the sphere."""
    turned = np.array([0.08, 2.0, 0.0, 4.0, 0.12, 2.03, 0.04, 4.03, 3.0, 0.16])
    plane = np.stack([np.cos(turned), np.sin(turned)], 1)
    sphere = points(12, 3, seed=6)
    return [(plane @ plane.T, 0.999), (plane @ plane.T, 0.99), (sphere @ sphere.T, 0.8)]


def slow_groups(cosines: np.ndarray, above: float) -> int:
    """Give every token a label, and spread the smallest along the near pairs until nothing changes."""
    label = list(range(len(cosines)))
    for _ in range(len(cosines)):
        for i, j in product(range(len(cosines)), repeat=2):
            if cosines[i, j] > above:
                label[i] = label[j] = min(label[i], label[j])
    return len(set(label))


def merged(near: np.ndarray) -> list[int]:
    """A label for each token, the same for those that a chain joins."""
    reached = np.linalg.matrix_power((near | np.eye(len(near), dtype=bool)).astype(float), len(near)) > 0
    return reached.argmax(1).tolist()


def greedy(cosines: np.ndarray, above: float) -> int:
    """The groups that one gets if each takes only who is near its first token."""
    left, found = list(range(len(cosines))), 0
    while left:
        first = left[0]
        left = [j for j in left if not (j == first or cosines[first, j] > above)]
        found += 1
    return found


def sizes(cosines: np.ndarray, above: float) -> list[int]:
    """How many tokens each group has."""
    labels = merged(cosines > above)
    return [labels.count(label) for label in set(labels)]


GROUP_MISTAKES = {
    "chains count: a token belongs to a cluster if it is near ANY of its tokens, not only near the first one":
        greedy,
    "those are the different rows of the table of near pairs: ends of one chain have different rows, and one cluster":
        lambda c, a: len(np.unique(c > a, axis=0)),
    "those are the near pairs: clusters are asked for":
        lambda c, a: int(((c > a).sum() - len(c)) // 2),
    "a token by itself is a cluster, too":
        lambda c, a: sum(size > 1 for size in sizes(c, a)),
    "those are the tokens that are alone: all clusters are asked for":
        lambda c, a: sum(size == 1 for size in sizes(c, a)),
    "that is the size of the largest cluster":
        lambda c, a: max(sizes(c, a)),
    "those pairs are FAR: tokens belong together where their cosine is above the bound":
        lambda c, a: len(set(merged(c < a))),
    "one too many":
        lambda c, a: slow_groups(c, a) + 1,
    "that is a label for each token: return how many different ones there are":
        lambda c, a: merged(c > a),
}  # fmt: skip


# 17.5 all in one hemisphere


def sizes_of_space() -> list[tuple]:
    """How many points, in how many dimensions."""
    return [(8, 3), (5, 2), (12, 7), (4, 6)]


def slow_hemisphere(n_tokens: int, dim: int) -> float:
    """By recursion: a hyperplane cuts in two as many regions as there are in a dimension less; a coin halves."""
    if n_tokens == 1 or dim == 1:
        return 2 / 2**n_tokens
    return (slow_hemisphere(n_tokens - 1, dim) + slow_hemisphere(n_tokens - 1, dim - 1)) / 2


def binomials(n: int, terms: range) -> int:
    """Their sum."""
    return sum(math.comb(n, k) for k in terms)


WENDEL_MISTAKES = {
    "that is half of it: the number of regions has a factor of 2":
        lambda n, d: binomials(n - 1, range(d)) / 2**n,
    "the binomials are those of n - 1, not of n":
        lambda n, d: binomials(n, range(d)) / 2 ** (n - 1),
    "the binomials are those of n - 1, not of n, whatever they are divided by":
        lambda n, d: binomials(n, range(d)) / 2**n,
    "k goes from 0 to d - 1: `range(dim)` ends before dim":
        lambda n, d: binomials(n - 1, range(d + 1)) / 2 ** (n - 1),
    "k starts at 0":
        lambda n, d: binomials(n - 1, range(1, d)) / 2 ** (n - 1),
    "k goes up to d - 1: the last term is missing":
        lambda n, d: binomials(n - 1, range(d - 1)) / 2 ** (n - 1),
    "that is the number of regions: divide it by the number of ways to choose signs, 2^n":
        lambda n, d: 2 * binomials(n - 1, range(d)),
    "that is the probability that all lie in ONE given hemisphere: any hemisphere will do":
        lambda n, d: 0.5**n,
    "tokens and dimensions are swapped":
        lambda n, d: binomials(d - 1, range(n)) / 2 ** (d - 1),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "17.1": Exercise(forced, slow_force, FORCE_MISTAKES),
    "17.2": Exercise(charged, slow_energy, ENERGY_MISTAKES),
    "17.3": Exercise(angles, slow_rate, RATE_MISTAKES),
    "17.4": Exercise(groups, slow_groups, GROUP_MISTAKES),
    "17.5": Exercise(sizes_of_space, slow_hemisphere, WENDEL_MISTAKES),
}
