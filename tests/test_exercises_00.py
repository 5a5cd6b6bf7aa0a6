"""Exercises 0.1 to 0.4: right answers written differently, each classic mistake, and other slips."""

import math

import numpy as np
import pytest
import torch

from walkthrough.behaviour import loss_per_position, previous_token_score
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def loss_in_loops(logits, rows):
    """Nested lists of floats, from a softmax written out."""
    losses = []
    for table, row in zip(logits, rows):
        losses.append([])
        for position, token in zip(table, row[1:]):
            probabilities = position.exp() / position.exp().sum()
            losses[-1].append(-math.log(probabilities[token]))
    return losses


def previous_by_loops(pattern):
    """A list of 0-d tensors."""
    n_batch, n_heads, n_pos, _ = pattern.shape
    scores = []
    for head in range(n_heads):
        found = [pattern[b, head, i, i - 1] for b in range(n_batch) for i in range(2, n_pos)]
        scores.append(sum(found) / len(found))
    return scores


RIGHT = {
    "0.1": [
        lambda logits: int(np.argsort(logits.numpy()[-1])[-1]),
        lambda logits: logits[-1].softmax(-1).argmax(),
        lambda logits: logits.argmax(-1)[-1].item(),
    ],
    "0.2": [
        previous_token_score,
        lambda pattern: pattern.diagonal(offset=-1, dim1=-2, dim2=-1)[..., 1:].mean((0, -1)),
        lambda pattern: pattern[:, :, 2:, 1:].diagonal(dim1=-2, dim2=-1).mean(-1).mean(0),
        previous_by_loops,
    ],
    "0.3": [
        loss_per_position,
        lambda logits, rows: torch.nn.functional.cross_entropy(logits.mT, rows[:, 1:], reduction="none"),
        loss_in_loops,
    ],
    "0.4": [
        lambda W_V, W_O: W_O.T @ W_V.T,
        lambda W_V, W_O: (W_V @ W_O).T,
        lambda W_V, W_O: torch.einsum("rh,hw->wr", W_V, W_O),
    ],
}
LABELS = [label for label in EXERCISES if label.startswith("0.")]


def test_all_are_covered():
    assert sorted(RIGHT) == sorted(LABELS)


@pytest.mark.parametrize(("label", "answer"), [(label, answer) for label in LABELS for answer in RIGHT[label]])
def test_a_right_answer_written_differently_is_right(label, answer):
    assert verdict(label, answer).mark == "✓"


@pytest.mark.parametrize(("label", "sentence"), [(label, s) for label in LABELS for s in EXERCISES[label].mistakes])
def test_each_classic_mistake_is_named(label, sentence):
    result = verdict(label, EXERCISES[label].mistakes[sentence])
    assert (result.mark, result.sentence) == ("✗", sentence)


@pytest.mark.parametrize("label", LABELS)
def test_an_untouched_stub_is_not_an_error(label):
    def stub(*args):
        raise NotImplementedError

    assert verdict(label, stub).mark == "○"


def log_probabilities_in_a_column(logits, rows):
    """Forgets to take the last axis away again."""
    return -logits.log_softmax(-1).gather(-1, rows[:, 1:, None])


@pytest.mark.parametrize(
    ("label", "attempt", "said"),
    [
        ("0.1", lambda logits: logits[0, -1].argmax(), "no batch axis"),  # once: "yours is 0, it should be 1"
        ("0.1", lambda logits: logits[0][-1].argmax().item(), "no batch axis"),
        ("0.1", lambda logits: logits[-1].topk(1).indices, "axis of length 1"),
        ("0.1", lambda logits: logits[-1:].argmax(-1), "axis of length 1"),
        ("0.1", lambda logits: None, "None"),
        ("0.1", lambda logits: logits[99], "IndexError"),
        ("0.1", lambda logits: " self", "of type str"),
        ("0.2", lambda pattern: pattern[:, 2:, 1:].mean((0, -1)), "wrong shape"),
        ("0.2", lambda pattern: pattern[..., 1:].mean((0, -1)), "wrong shape"),
        ("0.2", lambda pattern: pattern[0, :, 2:, 1:].diagonal(dim1=-2, dim2=-1).mean(-1), "first prompt alone"),
        ("0.3", log_probabilities_in_a_column, "axis of length 1"),
        ("0.3", lambda logits, rows: -loss_per_position(logits, rows), "sign is flipped"),
        ("0.3", lambda logits, rows: loss_per_position(logits, rows).mean(0), "mean over axis 0"),
        ("0.3", lambda logits, rows: loss_per_position(logits, rows).mean(-1), "mean over axis 1"),
        ("0.3", lambda logits, rows: loss_per_position(logits, rows).mean(), "wrong shape"),
        ("0.3", lambda logits, rows: loss_per_position(logits, rows)[0, 1:], "wrong shape"),
        ("0.4", lambda W_V, W_O: (W_V @ W_O).T[:3], "yours is [3, 7], it should be [7, 7]"),
        ("0.4", lambda W_V, W_O: W_O.T @ W_V, "cannot be multiplied"),
        ("0.4", lambda W_V, W_O: (W_O @ W_V).T, "wrong order"),
    ],
)
def test_common_slips_get_their_sentence(label, attempt, said):
    result = verdict(label, attempt)
    assert result.mark == "✗"
    assert said in result.sentence
