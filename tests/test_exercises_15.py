"""The checks of notebook 15 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch

from walkthrough.beyond import bridge, phases, superposition
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def right_floor(density, importance, n_dims):
    """What is lost is all, less what the most important ones would be."""
    variance = density * (1 / 3 - density / 4)
    return variance * (importance.sum() - importance.topk(n_dims).values.sum()).item()


def right_boundary(importance):
    """By cases."""
    return [4 * r / (2 + 5 * r) if r < 1 else 4 / (5 + 2 * r) for r in importance.tolist()]


def right_dimensionality(W):
    """From the table of dot products alone: |W_i|^4 over the sum of their squares."""
    table = (W @ W.T).numpy()
    return table.diagonal() ** 2 / (table**2).sum(1)


def right_nudge(W, feature, size):
    return torch.nn.functional.normalize(W @ W.T, dim=1)[feature] * size


def right_rms(W):
    table = torch.nn.functional.normalize(W, dim=1)
    table = table @ table.T
    return table[~torch.eye(len(W)).bool()].square().mean() ** 0.5


RIGHT = {
    "15.1": right_floor,
    "15.2": right_boundary,
    "15.3": right_dimensionality,
    "15.4": right_nudge,
    "15.5": right_rms,
}
ALSO_RIGHT = [
    ("15.1", superposition.linear_floor),
    ("15.2", phases.phase_boundary),
    ("15.3", superposition.dimensionality),
    ("15.4", superposition.worst_nudge),
    ("15.5", bridge.rms_cosine),
]
GENERIC = [
    ("15.1", lambda p, i, m: 2 * right_floor(p, i, m), "the values differ"),
    ("15.1", lambda p, i, m: (p / 3 - p**2 / 4) * i.sort(descending=True).values[m:], "wrong shape"),
    ("15.2", lambda r: torch.tensor(right_boundary(r))[:3], "wrong shape"),
    ("15.2", lambda r: -torch.tensor(right_boundary(r)), "sign is flipped"),
    ("15.3", lambda W: right_dimensionality(W).sum(), "sum over axis 0"),
    ("15.3", lambda W: right_dimensionality(W) / 2, "constant factor 0.5"),
    ("15.3", lambda W: right_dimensionality(W)[:, None], "axis of length 1"),
    ("15.4", lambda W, j, s: right_nudge(W, 0, s), "the values differ"),
    ("15.4", lambda W, j, s: right_nudge(W, j, s) @ W, "wrong shape"),
    ("15.5", lambda W: bridge.rms_cosine(W) ** 4, "the values differ"),
    ("15.5", lambda W: torch.nn.functional.cosine_similarity(W[:, None], W[None], dim=-1), "wrong shape"),
]


@pytest.mark.parametrize(("label", "attempt"), ALSO_RIGHT)
def test_the_package_solves_its_own_exercises(label, attempt):
    assert verdict(label, attempt).sentence == "right"


def test_all_exercises_have_answers_here():
    assert {label for label in EXERCISES if label.startswith("15.")} == set(RIGHT)
