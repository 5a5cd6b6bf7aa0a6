"""The checks of notebook 16 accept right answers written in other ways, and name each classic mistake."""

import math

import pytest
import torch
from einops import einsum

from walkthrough.beyond import kinds, offsets, tuning
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def right_shift(height, width, down, right):
    rows = torch.diag(torch.ones(height - abs(down)), down)
    columns = torch.diag(torch.ones(width - abs(right)), right)
    return torch.kron(rows, columns)


def right_sum(x, patterns, W):
    return einsum(patterns, x, W, "n query key, key d_in, n d_in d_out -> query d_out")


def right_direction(filters):
    size = filters.shape[-1]
    along = torch.linspace(-1, 1, size)
    pull = einsum(filters, along, "unit y x, x -> unit") + 1j * einsum(filters, along, "unit y x, y -> unit")
    return pull.angle()


def right_counts(activation, category, k):
    order = activation.argsort(-1, descending=True)[:, :k]
    return torch.nn.functional.one_hot(category[order]).sum(1)


def right_share(vectors):
    values = torch.linalg.eigvalsh(torch.cov(vectors.T))
    return values[-2:].sum() / values.sum()


RIGHT = {"16.1": right_shift, "16.2": right_sum, "16.3": right_direction, "16.5": right_counts, "16.4": right_share}
PACKAGE = {
    "16.1": offsets.shift_pattern,
    "16.2": offsets.sum_over_offsets,
    "16.3": tuning.edge_direction,
    "16.5": kinds.top_counts,
    "16.4": tuning.plane_share,
}


@pytest.mark.parametrize("answers", [RIGHT, PACKAGE], ids=["another way", "the package"])
@pytest.mark.parametrize("label", RIGHT)
def test_right_answers_are_accepted(label, answers):
    result = verdict(label, answers[label])
    assert (result.mark, result.sentence) == ("✓", "right")


@pytest.mark.parametrize("label", RIGHT)
def test_each_mistake_is_named_by_its_own_sentence(label):
    for sentence, mistake in EXERCISES[label].mistakes.items():
        result = verdict(label, mistake)
        assert (result.mark, result.sentence) == ("✗", sentence)


GENERIC = [
    ("16.1", lambda *case: right_shift(*case).mT.contiguous(), "opposite direction"),
    ("16.1", lambda *case: right_shift(*case) * 2, "constant factor 2"),
    ("16.1", lambda h, w, d, r: right_shift(h, w, d, r)[None], "axis of length 1"),
    ("16.1", lambda h, w, d, r: right_shift(h, w, d, r) / right_shift(h, w, d, r).sum(-1, keepdim=True), "nan"),
    ("16.2", lambda *case: right_sum(*case).mT, "transposed"),
    ("16.2", lambda *case: -right_sum(*case), "sign"),
    ("16.3", lambda f: right_direction(f)[:, None], "axis of length 1"),
    ("16.3", lambda f: right_direction(f) + 0.1, "differ"),
    ("16.5", lambda *case: right_counts(*case).T, "transposed"),
    ("16.5", lambda a, c, k: right_counts(a, c, k + 1), "differ"),
    ("16.4", lambda v: 2 * right_share(v), "differ"),
    ("16.4", lambda v: right_share(v)[None], "axis of length 1"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


@pytest.mark.parametrize(("label", "attempt", "part"), GENERIC)
def test_other_wrong_answers_are_refused(label, attempt, part):
    result = verdict(label, attempt)
    assert result.mark == "✗"
    assert part in result.sentence


def test_a_shift_is_checked_where_the_edge_of_the_grid_matters():
    def only_inside(height, width, down, right):
        return (
            right_shift(height, width, down, right)
            if down == 0 and right == 0
            else torch.zeros(height * width, height * width)
        )

    assert verdict("16.1", only_inside).mark == "✗"


def test_a_direction_in_turns_is_not_one_in_radians():
    assert verdict("16.3", lambda f: right_direction(f) / (2 * math.pi)).mark == "✗"


def test_counts_as_lists_and_whole_numbers_are_right_too():
    assert verdict("16.5", lambda *case: right_counts(*case).tolist()).mark == "✓"


@pytest.mark.parametrize("label", RIGHT)
def test_every_mistake_differs_from_the_others(label):
    exercise = EXERCISES[label]
    answers = {
        sentence: [torch.as_tensor(mistake(*case)).double() for case in exercise.cases()]
        for sentence, mistake in exercise.mistakes.items()
    }
    for sentence, mine in answers.items():
        for other, theirs in answers.items():
            alike = all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(mine, theirs))
            assert alike == (sentence == other), (sentence, other)
