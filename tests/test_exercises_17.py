"""The checks of notebook 17 accept right answers written in other ways, and name each classic mistake."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import connected_components

from walkthrough.beyond import clusters, particles
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def right_force(i, x, beta):
    """By torch: a softmax, and a projection as a matrix."""
    x = torch.tensor(x)
    projection = torch.eye(x.shape[1]) - torch.outer(x[i], x[i])
    return projection @ (torch.softmax(beta * x @ x[i], 0) @ x)


def right_energy(x, beta):
    """Each different pair once, counted twice, and n times e^beta."""
    n = len(x)
    once = sum(math.exp(beta * float(x[i] @ x[j])) for i in range(n) for j in range(i))
    return (2 * once + n * math.exp(beta)) / (2 * beta * n * n)


def right_rate(gamma, n_tokens, beta):
    """With e^(beta gamma) taken out of both sides of the fraction."""
    return 2 * (1 - gamma) * (1 + (n_tokens - 1) * gamma) / (np.exp(beta - beta * gamma) + n_tokens - 1)


def right_groups(cosines, above):
    return connected_components(cosines > above, directed=False)[0]


def right_hemisphere(n_tokens, dim):
    """The probability that a coin thrown n - 1 times shows fewer than dim heads."""
    return sum(math.comb(n_tokens - 1, heads) * 0.5 ** (n_tokens - 1) for heads in range(min(dim, n_tokens)))


RIGHT = {
    "17.1": right_force,
    "17.2": right_energy,
    "17.3": right_rate,
    "17.4": right_groups,
    "17.5": right_hemisphere,
}
ALSO_RIGHT = [
    ("17.1", lambda i, x, beta: particles.velocity(x, beta)[i]),
    ("17.2", particles.interaction_energy),
    ("17.3", clusters.equiangular_rate),
    ("17.4", clusters.count_clusters),
    ("17.5", clusters.hemisphere_probability),
]
GENERIC = [
    ("17.1", lambda i, x, beta: -right_force(i, x, beta), "sign is flipped"),
    ("17.1", lambda i, x, beta: 2 * right_force(i, x, beta), "constant factor 2"),
    ("17.1", lambda i, x, beta: right_force(i, x, beta)[None], "axis of length 1"),
    ("17.2", lambda x, beta: -right_energy(x, beta), "sign is flipped"),
    ("17.2", lambda x, beta: right_energy(x, beta) + 1, "the values differ"),
    ("17.3", lambda gamma, n, beta: -right_rate(gamma, n, beta), "sign is flipped"),
    ("17.3", lambda gamma, n, beta: 0 * gamma, "the values differ"),
    ("17.4", lambda cosines, above: len(cosines), "the values differ"),
    ("17.4", lambda cosines, above: cosines > above, "wrong shape"),
    ("17.5", lambda n, d: 1 - right_hemisphere(n, d), "the values differ"),
]


@pytest.mark.parametrize(("label", "attempt"), ALSO_RIGHT)
def test_the_package_solves_its_own_exercises(label, attempt):
    assert verdict(label, attempt).sentence == "right"


def test_all_exercises_have_answers_here():
    assert {label for label in EXERCISES if label.startswith("17.")} == set(RIGHT)
