"""The checks of notebook 11 accept right answers written in other ways, and name each classic mistake."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.training import curves
from walkthrough.training.muon import orthogonalised
from walkthrough.training.recipes import Recipe


def right_learning(model, optimiser, batches):
    losses = []
    for rows in batches:
        log_probs = model(rows[:, :-1]).log_softmax(-1)
        loss = -log_probs.gather(-1, rows[:, 1:, None]).mean()
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
        for p in model.parameters():
            p.grad = None
    return losses


def right_factor(step, steps, warmup):
    return min(1.0, (step + 1) / warmup) * math.cos(math.pi * step / steps / 2) ** 2


def right_reached(tokens, scores, level):
    tokens, scores = np.array(tokens, float), np.array(scores)
    above = np.flatnonzero(scores >= level)
    if len(above) == 0:
        return float("inf")
    after = above[0]
    return tokens[0] if after == 0 else np.interp(level, scores[[after - 1, after]], tokens[[after - 1, after]])


def right_orthogonal(update, steps):
    return orthogonalised(update[None], steps)[0]


def right_law(sizes, tokens):
    exponent, constant = np.polyfit(np.log10(sizes.numpy()), np.log10(tokens.numpy()), 1)
    return np.array([constant, exponent])


RIGHT = {
    "11.1": right_learning,
    "11.2": right_factor,
    "11.3": right_reached,
    "11.4": right_orthogonal,
    "11.5": right_law,
}


def gradients_clipped(model, optimiser, batches):
    losses = []
    for rows in batches:
        optimiser.zero_grad()
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses)


GENERIC = [
    ("11.1", gradients_clipped, "the values differ"),
    ("11.1", lambda *case: right_learning(*case)[:-1], "wrong shape"),
    ("11.1", lambda model, optimiser, batches: right_learning(model, optimiser, batches[::-1]), "the values differ"),
    ("11.2", lambda *case: 2 * right_factor(*case), "the values differ"),
    ("11.2", lambda step, steps, warmup: right_factor(step, steps - 1, warmup), "the values differ"),
    ("11.3", lambda tokens, scores, level: right_reached(tokens, scores, level + 0.05), "the values differ"),
    ("11.3", lambda *case: [right_reached(*case)], "an axis of length 1"),
    ("11.4", lambda update, steps: right_orthogonal(update, steps).mT, "transposed"),
    ("11.4", lambda update, steps: 2 * right_orthogonal(update, steps), "constant factor 2"),
    ("11.5", lambda *case: np.array([*right_law(*case), 0.0]), "wrong shape"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


def least_squares_by_hand(sizes, tokens):
    x, y = sizes.double().log10(), tokens.double().log10()
    n = len(x)
    exponent = (n * (x * y).sum() - x.sum() * y.sum()) / (n * (x * x).sum() - x.sum() ** 2)
    return torch.stack([(y.sum() - exponent * x.sum()) / n, exponent])


def tall_way(update, steps):
    x = update.mT / update.norm()
    for _ in range(steps):
        gram = x.mT @ x
        x = 3.4445 * x + x @ (-4.7750 * gram + 2.0315 * gram @ gram)
    return x.mT


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        ("11.2", lambda step, steps, warmup: Recipe(2, steps=steps, warmup=warmup).lr_factor(step)),
        ("11.3", curves.first_reached),
        ("11.4", tall_way),
        ("11.5", curves.power_law),
        ("11.5", least_squares_by_hand),
    ],
)
def test_the_functions_of_the_package_and_other_ways_are_right_too(label, answer):
    result = verdict(label, answer)
    assert (result.mark, result.sentence) == ("✓", "right")


@pytest.mark.parametrize("label", list(RIGHT))
def test_every_case_tells_every_mistake_from_the_others(label):
    exercise = EXERCISES[label]
    answers = {
        sentence: [torch.as_tensor(mistake(*case)).double() for case in exercise.cases()]
        for sentence, mistake in exercise.mistakes.items()
    }
    for sentence, mine in answers.items():
        for other, theirs in answers.items():
            alike = all(
                a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, equal_nan=True) for a, b in zip(mine, theirs)
            )
            assert alike == (sentence == other), (sentence, other)
