"""The checks of notebook 12 accept right answers written in other ways, and name each classic mistake."""

import numpy as np
import pytest
import torch

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.two_layers import induction, timing


def right_late(losses, early, late):
    positions = torch.arange(losses.shape[1])
    inside = lambda stretch: ((positions >= stretch[0]) & (positions < stretch[1])).float()
    mean = lambda stretch: losses @ inside(stretch) / inside(stretch).sum()
    return mean(late) - mean(early)


def right_fastest(x, values):
    x, values = x.double().numpy(), values.double().numpy()
    i = np.argmax(np.abs(np.diff(values) / np.diff(x)))
    return float(x[i : i + 2].mean())


def right_arrival(tokens, values, share=0.5):
    end = values[-(len(values) // 10) :].mean()
    for i in range(1, len(values)):
        if all((value - values[0]) / (end - values[0]) >= share for value in values[i:]):
            return tokens[i]
    return float("inf")


def right_before(arrivals):
    n = arrivals.shape[1]
    answer = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        for j in range(n):
            answer[i, j] = bool((arrivals[:, i] < arrivals[:, j]).all())
    return answer


def right_match(change, kind, came):
    d_vocab = int(came.max()) + 1
    sums = lambda of, values: torch.zeros(d_vocab).index_add(0, came[of], values[of].float())
    inside, outside = sums(kind, torch.ones_like(change)), sums(~kind, torch.ones_like(change))
    both = (inside > 0) & (outside > 0)
    difference = sums(kind, change)[both] / inside[both] - sums(~kind, change)[both] / outside[both]
    return (inside[both] * difference).sum() / inside[both].sum()


RIGHT = {
    "12.1": right_late,
    "12.2": right_fastest,
    "12.3": right_arrival,
    "12.4": right_before,
    "12.5": right_match,
}
GENERIC = [
    ("12.1", lambda *case: right_late(*case)[:, None], "an axis of length 1"),
    ("12.1", lambda *case: 2 * right_late(*case), "constant factor 2"),
    ("12.1", lambda x, early, late: right_late(x[:, 1:], early, late), "the values differ"),
    ("12.2", lambda x, v: right_fastest(x.log(), v), "the values differ"),
    ("12.2", lambda x, v: torch.tensor([right_fastest(x, v)]), "an axis of length 1"),
    ("12.3", lambda t, v, share: right_arrival(t, v.flip(0), share), "the values differ"),
    ("12.3", lambda t, v, share: t / 0, "wrong shape"),
    ("12.4", lambda a: right_before(a)[0], "wrong shape"),
    ("12.4", lambda a: ~right_before(a), "the values differ"),
    ("12.4", lambda a: a[:, :, None] < a[:, None], "wrong shape"),
    ("12.5", lambda *case: 100 * right_match(*case), "the values differ"),
    ("12.5", lambda c, k, t: right_match(c, ~k, t), "the values differ"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        ("12.1", induction.late_minus_early),
        ("12.2", timing.fastest),
        ("12.3", timing.arrival),
        ("12.4", timing.always_before),
        ("12.4", lambda a: right_before(a).int()),
        ("12.5", timing.matched_difference),
    ],
)
def test_the_functions_of_the_package_and_other_ways_are_right_too(label, answer):
    result = verdict(label, answer)
    assert (result.mark, result.sentence) == ("✓", "right")


@pytest.mark.parametrize("label", RIGHT)
def test_every_case_tells_every_mistake_from_the_others(label):
    exercise = EXERCISES[label]
    answers = {
        sentence: [torch.as_tensor(mistake(*case)).double() for case in exercise.cases()]
        for sentence, mistake in exercise.mistakes.items()
    }
    for sentence, mine in answers.items():
        for other, theirs in answers.items():
            alike = all(a.shape == b.shape and torch.allclose(a, b, equal_nan=True) for a, b in zip(mine, theirs))
            assert alike == (sentence == other), (sentence, other)
