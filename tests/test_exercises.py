"""What every notebook's checks must do: each part's own file lists its answers and slips."""

import importlib

import pytest

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict

PARTS = [
    importlib.import_module(f"test_exercises_{number}") for number in ("01", *(f"{part:02}" for part in range(3, 21)))
]
RIGHT = {label: answer for part in PARTS for label, answer in part.RIGHT.items()}
EARLIER = ("0.", "2.")  # notebooks whose tests have another shape
MISTAKES = [
    (label, sentence) for label, e in EXERCISES.items() if not label.startswith(EARLIER) for sentence in e.mistakes
]
GENERIC = [slip for part in PARTS for slip in part.GENERIC]


def not_written(*inputs):
    raise NotImplementedError


@pytest.mark.parametrize("label", RIGHT)
def test_a_right_answer_written_otherwise_is_right(label):
    assert verdict(label, RIGHT[label]).mark == "✓"


@pytest.mark.parametrize(("label", "sentence"), MISTAKES)
def test_each_classic_mistake_is_named(label, sentence):
    result = verdict(label, EXERCISES[label].mistakes[sentence])
    assert (result.mark, result.sentence) == ("✗", sentence)


@pytest.mark.parametrize(("label", "attempt", "words"), GENERIC)
def test_other_slips_are_told_apart(label, attempt, words):
    result = verdict(label, attempt)
    assert result.mark == "✗"
    assert words in result.sentence


@pytest.mark.parametrize("label", RIGHT)
def test_an_unwritten_answer_is_not_attempted(label):
    assert verdict(label, not_written).mark == "○"
