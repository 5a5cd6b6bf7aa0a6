"""The checks of notebook 18 accept right answers written in other ways, and name each classic mistake."""

import numpy as np
import pytest
import torch

from walkthrough.beyond import cosines, forces
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def right_three(force, token, sender):
    """By least squares in the plane of token and sender."""
    along = torch.outer(token, token) @ force / (token @ token)
    basis = torch.stack([token, sender], 1).double().numpy()
    solved = np.linalg.lstsq(basis, force.double().numpy(), rcond=1e-5)[0]
    towards = torch.from_numpy(basis @ solved).float() - along
    return along, towards, force - along - towards


def right_split(x, direction):
    """From the table of cosines of what the direction leaves, without bringing it to length 1."""
    u = x / x.norm(dim=-1, keepdim=True)
    left = u - (u @ direction)[..., None] * direction
    pairs = ~torch.eye(u.shape[-2]).bool()
    rest, whole = ((v @ v.mT)[..., pairs].mean(-1) for v in (left, u))
    return torch.stack([whole - rest, rest])


def right_alike(added, vectors):
    normal = torch.nn.functional.normalize
    return (normal(added, dim=1) @ normal(vectors, dim=1).T).diagonal(-1).mean().item()


def right_reach(pattern, moved, first):
    """From a list of distances and one of sizes, by a histogram."""
    sizes = torch.einsum("tqk,tk->qk", pattern, moved.square().sum(-1).sqrt()).numpy()
    queries, keys = np.tril_indices(len(sizes))
    late = queries >= first
    queries, keys = queries[late], keys[late]
    totals = np.bincount(queries - keys, sizes[queries, keys], minlength=len(sizes))
    return totals / totals.sum()


RIGHT = {"18.1": right_three, "18.2": right_split, "18.3": right_alike, "18.4": right_reach}
ALSO_RIGHT = [
    ("18.1", forces.force_in_three),
    ("18.2", cosines.split_cosine),
    ("18.4", forces.force_by_distance),
]
GENERIC = [
    ("18.1", lambda f, t, s: right_three(f, t, s)[0], "wrong shape"),
    ("18.1", lambda f, t, s: -torch.stack(right_three(f, t, s)), "sign is flipped"),
    ("18.2", lambda x, d: right_split(x, d) / 2, "constant factor 0.5"),
    ("18.2", lambda x, d: right_split(x, d)[0], "wrong shape"),
    ("18.3", lambda a, v: torch.cosine_similarity(a[1:], v[:-1], dim=1), "wrong shape"),
    ("18.3", lambda a, v: -right_alike(a, v), "sign is flipped"),
    ("18.4", lambda p, m, f: right_reach(p, m, f)[1:], "wrong shape"),
    ("18.4", lambda p, m, f: right_reach(p, m, f)[::-1].copy(), "the values differ"),
]


@pytest.mark.parametrize(("label", "attempt"), ALSO_RIGHT)
def test_the_package_solves_its_own_exercises(label, attempt):
    assert verdict(label, attempt).sentence == "right"


def test_all_exercises_have_answers_here():
    assert {label for label in EXERCISES if label.startswith("18.")} == set(RIGHT)
