"""The checks of notebook 06 accept right answers written in other ways, and name each classic mistake."""

import math

import pytest
import torch

from walkthrough.exercises.bug_hunting import place, product, tables, unknown
from walkthrough.exercises.check import verdict


def right_bug(looks, moved, counts):
    found = []
    for source, destination in (counts.sum(2) > 0).nonzero().tolist():
        for out in (counts[source, destination] == 0).nonzero()[:, 0].tolist():
            found.append((float(looks[source, destination] * moved[source, out]), source, destination, out))
    return max(found)[1:]


def right_js(p, q):
    middle = 0.5 * (p + q)
    terms = [x * math.log(x / m) for x, m in zip([*p, *q], [*middle, *middle]) if x > 0]
    return sum(terms) / 2


def right_mend(wrong, expected, key):
    same = (key[:, None] == key).to(wrong)
    return wrong - expected * (same @ wrong) / (same @ expected)


RIGHT = {
    "6.1": lambda right, other, crossed: math.prod((right, other)) * crossed**-1,
    "6.2": right_js,
    "6.3": right_bug,
    "6.4": lambda first, second, model: torch.einsum("i,i,i->", first - model, second - model, 0.5 / model),
    "6.5": right_mend,
}


GENERIC = [
    ("6.1", lambda r, o, c: -r * o / c, "the sign is flipped"),
    ("6.1", lambda r, o, c: 0.0, "the values differ"),
    ("6.2", lambda p, q: -right_js(p, q), "the sign is flipped"),
    ("6.3", lambda *case: right_bug(*case)[:2], "wrong shape"),
    ("6.3", lambda f, g, n: f[:, :, None] * g[:, None], "wrong shape"),
    ("6.4", lambda a, b, q: -((a - q) * (b - q) / (2 * q)).sum(), "the sign is flipped"),
    ("6.5", lambda w, e, k: -right_mend(w, e, k), "the sign is flipped"),
    ("6.5", lambda w, e, k: right_mend(w, e, k).T, "transposed"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


@pytest.mark.parametrize("instead", [0.0, -1.0, -10.0, -1e3, -1e5, -1e9, "smallest"])
def test_no_stand_in_for_minus_infinity_passes_unless_it_is_below_all(instead):
    """Such as the smallest of the products, which ties at worst with what is allowed."""

    def attempt(looks, moved, counts):
        added = product(looks, moved)
        low = added.min().item() - 1 if instead == "smallest" else instead
        return place(added, unknown(counts), low)

    assert verdict("6.3", attempt).mark == ("✓" if instead in (-1e9, "smallest") else "✗")


@pytest.mark.parametrize("multiply_by_mask", [True, False])
def test_zeros_in_place_of_minus_infinity_are_named(multiply_by_mask):
    def attempt(looks, moved, counts):
        added = product(looks, moved)
        masked = added * unknown(counts) if multiply_by_mask else torch.where(unknown(counts), added, 0)
        return torch.unravel_index(masked.argmax(), counts.shape)

    assert "which wins wherever all that is allowed is lowered" in verdict("6.3", attempt).sentence


def test_the_worst_bug_has_cases_in_which_all_is_lowered_and_only_one_answer():
    lowered = 0
    for looks, moved, counts in tables():
        allowed = product(looks, moved)[unknown(counts)].sort(descending=True).values
        assert allowed[0] > allowed[1]
        lowered += bool(allowed[0] < 0)
    assert lowered == 2
