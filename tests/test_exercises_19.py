"""The checks of notebook 19 accept right answers written in other ways, and name each classic mistake."""

import numpy as np
import torch

from walkthrough.beyond import editing, smaller, weaknesses
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def right_change(stream, read, change, moment):
    """In coordinates in which what is read is white, where the least change is along the stream."""
    root = torch.linalg.cholesky(moment)  # moment = root root^T
    white = torch.linalg.solve_triangular(root, stream[:, None], upper=False)[:, 0]
    least = change * torch.outer(white / white.square().sum(), read / read.square().sum())
    return torch.linalg.solve_triangular(root.T, least, upper=True)


def right_filling(prompt, wrong, n_match, n_slots):
    pattern = [*prompt[-n_match:].tolist(), wrong]
    return [pattern[(place - n_slots) % len(pattern)] for place in range(n_slots)]


def right_cut(W, moment, keep):
    """On the side of what is written: the directions that carry most of it are kept."""
    directions = torch.linalg.eigh(W.T @ moment @ W).eigenvectors[:, -keep:]
    return W @ directions @ directions.T


def right_swaps(run, given, without, heads):
    """By masks instead of copies."""
    mask = torch.zeros(given.shape[1])
    mask[heads] = 1
    mask = mask[:, None]
    high, low = run(given), run(without)
    lost, alone = run(given * (1 - mask) + without * mask), run(given * mask + without * (1 - mask))
    return high - low, high - lost, alone - low


def right_false(scores, real):
    order = np.argsort(-scores.numpy())
    return 1 - np.cumsum(real.numpy()[order]) / np.arange(1, len(order) + 1)


RIGHT = {"19.1": right_change, "19.2": right_filling, "19.3": right_cut, "19.4": right_swaps, "19.5": right_false}
GENERIC = [
    ("19.1", lambda s, r, c, M: right_change(s, r, c, M).T, "transposed"),
    ("19.1", lambda s, r, c, M: -right_change(s, r, c, M), "sign is flipped"),
    ("19.2", lambda p, w, n, k: right_filling(p, w, n, k)[1:], "wrong shape"),
    ("19.2", lambda p, w, n, k: right_filling(p, w + 1, n, k), "the values differ"),
    ("19.3", lambda W, M, k: right_cut(W.T[: len(W)], M[: W.shape[1], : W.shape[1]], k), "wrong shape"),
    ("19.3", lambda W, M, k: right_cut(W, M, k - 1), "the values differ"),
    ("19.4", lambda run, g, w, heads: right_swaps(run, g, w, heads)[0], "wrong shape"),
    ("19.4", lambda run, g, w, heads: -torch.stack(right_swaps(run, g, w, heads)), "sign is flipped"),
    ("19.5", lambda s, r: right_false(s, r)[-1], "wrong shape"),
    ("19.5", lambda s, r: right_false(s, r) / 2, "constant factor 0.5"),
]


def test_the_package_makes_the_same_change():
    for stream, read, change, moment in EXERCISES["19.1"].cases():
        left, right = editing.least_change(stream, read, change, moment)
        torch.testing.assert_close(torch.outer(left, right), right_change(stream, read, change, moment))


def test_the_package_fills_the_same_prompts():
    for prompt, wrong, n_match, _ in EXERCISES["19.2"].cases():
        targets = weaknesses.Targets(prompt[None], prompt[-1:], torch.tensor([wrong]))
        assert weaknesses.hijacks(targets)[n_match - 1][0].tolist() == right_filling(prompt, wrong, n_match, 8)


def test_the_package_makes_the_same_cut():
    for W, moment, keep in EXERCISES["19.3"].cases():
        left, right = smaller.weighted_cut(W, torch.eye(W.shape[1]), keep, moment)
        torch.testing.assert_close(left @ right, right_cut(W, moment, keep), atol=1e-4, rtol=1e-4)


def test_the_check_leaves_its_own_inputs_alone():
    before = EXERCISES["19.4"].cases()[0][1]

    def in_place(run, given, without, heads):
        found = right_swaps(run, given, without, heads)
        given[:, heads] = 0
        return found

    assert verdict("19.4", in_place).sentence == "right"
    torch.testing.assert_close(EXERCISES["19.4"].cases()[0][1], before)


def test_all_exercises_have_answers_here():
    assert {label for label in EXERCISES if label.startswith("19.")} == set(RIGHT)
