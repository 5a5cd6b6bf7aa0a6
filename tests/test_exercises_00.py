"""Exercises 0.1 to 0.4: a right answer written differently, each classic mistake, and no attempt."""

import numpy as np
import pytest
import torch

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict

RIGHT = {
    "0.1": lambda logits: int(np.argsort(logits.numpy()[-1])[-1]),
    "0.2": lambda logits, tokens: torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="none"),
    "0.3": lambda pattern: torch.einsum("hq->h", pattern[..., 1:, 0]) / (pattern.shape[1] - 1),
    "0.4": lambda W_V, W_O: W_O.T @ W_V.T,
}
LABELS = [label for label in EXERCISES if label.startswith("0.")]


def test_all_are_covered():
    assert sorted(RIGHT) == sorted(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_a_right_answer_written_differently_is_right(label):
    assert verdict(label, RIGHT[label]).mark == "✓"


@pytest.mark.parametrize(("label", "sentence"), [(label, s) for label in LABELS for s in EXERCISES[label].mistakes])
def test_each_classic_mistake_is_named(label, sentence):
    result = verdict(label, EXERCISES[label].mistakes[sentence])
    assert (result.mark, result.sentence) == ("✗", sentence)


@pytest.mark.parametrize("label", LABELS)
def test_an_untouched_stub_is_not_an_error(label):
    def stub(*args):
        raise NotImplementedError

    assert verdict(label, stub).mark == "○"


@pytest.mark.parametrize(
    ("label", "attempt", "said"),
    [
        ("0.2", lambda logits, tokens: logits[:-1].log_softmax(-1)[torch.arange(4), tokens[1:]], "sign is flipped"),
        ("0.4", lambda W_V, W_O: (W_V @ W_O).T[:3], "yours is [3, 7], it should be [7, 7]"),
        ("0.3", lambda pattern: pattern[:, 1:, 0], "wrong shape: yours is [3, 5], it should be [3]"),
        ("0.1", lambda logits: None, "None"),
        ("0.1", lambda logits: logits[99], "IndexError"),
        ("0.1", lambda logits: " self", "of type str"),
    ],
)
def test_common_mistakes_get_their_sentence(label, attempt, said):
    result = verdict(label, attempt)
    assert result.mark == "✗"
    assert said in result.sentence
