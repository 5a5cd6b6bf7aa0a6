"""The checks of notebook 02 accept right answers written in other ways, and name each classic mistake."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from walkthrough.exercises.check import verdict
from walkthrough.exercises.part_02 import EXERCISES


def before(counts):
    flipped = counts.numpy().T.astype(float)
    times = flipped.sum(1, keepdims=True)
    return np.divide(flipped, times, out=np.zeros_like(flipped), where=times > 0)


def information(counts):
    pairs = (counts / counts.sum()).double()
    apart = torch.outer(pairs.sum(1), pairs.sum(0))
    seen = pairs > 0
    return (pairs[seen] * (pairs[seen].log() - apart[seen].log())).sum()


def surprise(W_E, W_U, tokens):
    return cross_entropy(W_E[tokens[:-1]] @ W_U, tokens[1:], reduction="none")


def orthonormal(W_E, W_U):
    left, sizes, right = torch.linalg.svd(W_E, full_matrices=False)
    return left, torch.diag(sizes) @ right @ W_U + torch.randn(W_E.shape[1], 1)


RIGHT = {"2.1": before, "2.2": information, "2.3": surprise, "2.4": orthonormal}


def not_written(*inputs):
    raise NotImplementedError


def nats(rows, overall):
    return (rows * (rows / overall).log()).nansum(1)


def qr(W_E, W_U, change):
    Q, R = torch.linalg.qr(W_E)
    return Q, change(R) @ W_U


WRONG = [
    ("2.1", lambda c: torch.nan_to_num(c / c.sum(1)[:, None]), "that is what comes after"),
    ("2.1", lambda c: torch.nan_to_num(c / c.sum(0)), "transposed"),
    ("2.1", lambda c: torch.nan_to_num(c.T / c.T.sum(0)), "wrong axis"),
    ("2.1", lambda c: c.T / c.sum(), "divided by the total"),
    ("2.1", lambda c: c.T, "still counts"),
    ("2.1", lambda c: c.T / c.T.amax(1, keepdim=True).clamp(min=1), "highest count"),
    ("2.1", lambda c: (c.T + 1) / (c.sum(0)[:, None] + len(c)), "without smoothing"),
    ("2.1", lambda c: c.T / c.T.sum(1, keepdim=True), "nan"),
    ("2.1", lambda c: before(c)[0], "wrong shape"),
    ("2.1", lambda c: 100 * before(c), "constant factor 100"),
    ("2.1", lambda c: np.roll(before(c), 1, axis=1), "off by one"),
    ("2.2", lambda c: nats(c / c.sum(1, keepdim=True), c.sum(0) / c.sum()).mean(), "weight each token"),
    ("2.2", lambda c: nats(c / c.sum(1, keepdim=True), c.sum(0) / c.sum()).sum(), "without weights"),
    (
        "2.2",
        lambda c: ((c.sum(1) / c.sum()) * nats((c.sum(0) / c.sum()).expand(c.shape), c / c.sum(1, keepdim=True))).sum(),
        "wrong way round",
    ),
    ("2.2", lambda c: information(c) / np.log(2), "in bits"),
    ("2.2", lambda c: -(c / c.sum() * (c / c.sum(1, keepdim=True)).log()).nansum(), "conditional entropy"),
    ("2.2", lambda c: -(c.sum(0) / c.sum() * (c.sum(0) / c.sum()).log()).sum(), "entropy of the next token"),
    ("2.2", lambda c: -(c / c.sum() * (c / c.sum()).log()).nansum(), "joint entropy"),
    (
        "2.2",
        lambda c: torch.distributions.Categorical(c.sum(0)).entropy() + (c / c.sum() * (c / c.sum()).log()).nansum(),
        "subtracted the joint entropy",
    ),
    (
        "2.2",
        lambda c: (c.sum(1) / c.sum() * nats(c / c.sum(1, keepdim=True), c.sum(1) / c.sum())).sum(),
        "how often tokens come first",
    ),
    ("2.2", lambda c: -information(c), "sign is flipped"),
    ("2.2", lambda c: (c / c.sum() * (c / c.sum(1, keepdim=True)).log()).sum() + information(c), "the values differ"),
    ("2.2", lambda c: nats(c / c.sum(1, keepdim=True), c.sum(0) / c.sum()), "wrong shape"),
    ("2.3", lambda e, u, t: -(e[t] @ u).softmax(-1).log()[range(len(t)), t], "scored on itself: shift"),
    ("2.3", lambda e, u, t: cross_entropy(e[t[1:]] @ u, t[1:], reduction="none"), "scored on itself, and one"),
    ("2.3", lambda e, u, t: cross_entropy(e[t[1:]] @ u, t[:-1], reduction="none"), "backwards"),
    ("2.3", lambda e, u, t: -(e[t[:-1]] @ u).gather(1, t[1:, None])[:, 0], "no softmax"),
    ("2.3", lambda e, u, t: -(e @ u).softmax(0).log()[t[:-1], t[1:]], "softmax over the wrong axis"),
    ("2.3", lambda e, u, t: -(e[t[:-1]] @ u).softmax(0).log().gather(1, t[1:, None])[:, 0], "positions of the text"),
    ("2.3", lambda e, u, t: surprise(e, u, t).neg().exp(), "those are probabilities"),
    ("2.3", lambda e, u, t: surprise(e, u, t) / np.log(2), "in bits"),
    ("2.3", lambda e, u, t: cross_entropy(e[t[:-1]] @ u, t[1:]), "averaged"),
    ("2.3", lambda e, u, t: -surprise(e, u, t), "sign is flipped"),
    ("2.3", lambda e, u, t: surprise(e, u, t)[1:], "wrong shape"),
    ("2.3", lambda e, u, t: surprise(e, u, t).cumsum(0), "the values differ"),
    ("2.4", lambda e, u: qr(e, u, lambda R: R)[0], "return two tensors"),
    ("2.4", lambda e, u: qr(e, u, lambda R: R)[::-1], "wrong shape"),
    ("2.4", lambda e, u: (e, u), "not orthonormal"),
    ("2.4", lambda e, u: (normalize(e, dim=1), u), "each token's row"),
    ("2.4", lambda e, u: (normalize(e, dim=0), e.norm(dim=0)[:, None] * u), "not at right angles"),
    ("2.4", lambda e, u: (torch.linalg.qr(e).Q, u), "did not follow"),
    ("2.4", lambda e, u: qr(e, u, torch.linalg.inv), "inverse of R"),
    ("2.4", lambda e, u: qr(e, u, torch.t), "transpose of R"),
    ("2.4", lambda e, u: qr(e, u, lambda R: 2 * R), "the predictions changed"),
]


@pytest.mark.parametrize("label", EXERCISES)
def test_a_right_answer_written_differently_is_right(label):
    assert verdict(label, RIGHT[label]).mark == "✓"


@pytest.mark.parametrize("label", EXERCISES)
def test_an_untouched_stub_is_not_attempted(label):
    assert verdict(label, not_written).mark == "○"


@pytest.mark.parametrize(("label", "mistake", "named"), WRONG, ids=[f"{label} {named}" for label, _, named in WRONG])
def test_each_wrong_answer_is_named(label, mistake, named):
    result = verdict(label, mistake)
    assert result.mark == "✗"
    assert named in result.sentence


def test_every_sentence_is_reached_by_a_wrong_answer():
    said = {verdict(label, mistake).sentence for label, mistake, _ in WRONG}
    assert {sentence for exercise in EXERCISES.values() for sentence in exercise.mistakes} <= said
