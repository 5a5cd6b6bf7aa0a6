"""The checks of notebook 02 accept right answers written in other ways, and name each classic mistake."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from walkthrough.exercises.check import verdict
from walkthrough.exercises.part_02 import EXERCISES

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in divide:RuntimeWarning")  # that of wrong answers


def after(counts):
    return normalize(counts.double(), p=1, dim=1)


def log_probs_by_hand(W_E, W_U):
    table = W_E.numpy().astype(float) @ W_U.numpy()
    weights = np.exp(table - table.max(1, keepdims=True))
    return np.log(weights / weights.sum(1, keepdims=True))


def before(counts):
    flipped = counts.numpy().T.astype(float)
    times = flipped.sum(1, keepdims=True)
    return np.divide(flipped, times, out=np.zeros_like(flipped), where=times > 0)


def information(counts):
    pairs = (counts / counts.sum()).double()
    apart = torch.outer(pairs.sum(1), pairs.sum(0))
    seen = pairs > 0
    return (pairs[seen] * (pairs[seen].log() - apart[seen].log())).sum()


def orthonormal(W_E, W_U):
    left, sizes, right = torch.linalg.svd(W_E, full_matrices=False)
    return left, torch.diag(sizes) @ right @ W_U + torch.randn(W_E.shape[1], 1)


RIGHT = {
    "2.1": after, "2.2": log_probs_by_hand, "2.3": information, "2.4": orthonormal,
}  # fmt: skip


def information_by_two_entropies(counts):
    def entropy(probs):
        return -torch.special.xlogy(probs, probs).sum()

    pairs = counts.double() / counts.sum()
    return entropy(pairs.sum(0)) + entropy(pairs.sum(1)) - entropy(pairs)


def by_cholesky(W_E, W_U):
    upper = torch.linalg.cholesky(W_E.T @ W_E).T
    return (W_E @ torch.linalg.inv(upper)).numpy(), (upper @ W_U).numpy()


ALSO_RIGHT = [
    ("2.1", lambda c: torch.nan_to_num(c / c.sum(1, keepdim=True))),
    ("2.1", lambda c: (c.T / c.sum(1).clamp_min(1)).T),
    ("2.1", lambda c: c / (c.sum(1)[:, None] + 1e-9)),
    ("2.2", lambda e, u: (e @ u) - (e @ u).logsumexp(1)[:, None]),
    ("2.2", lambda e, u: torch.stack([(row @ u).softmax(0).log() for row in e])),
    ("2.3", information_by_two_entropies),
    ("2.4", by_cholesky),
]


def not_written(*inputs):
    raise NotImplementedError


def nats(rows, overall):
    return (rows * (rows / overall).log()).nansum(1)


def rows_of(counts):
    return counts / counts.sum(1, keepdim=True)


def overall(counts):
    return counts.sum(0) / counts.sum()


def qr(W_E, W_U, change):
    Q, R = torch.linalg.qr(W_E)
    return Q, change(R) @ W_U


def filled(counts):
    table = after(counts)
    table[counts.sum(1) == 0] = 1 / counts.shape[1]
    return table


WRONG = [
    ("2.1", lambda c: c / c.sum(1), "COLUMN"),  # keepdim forgotten
    ("2.1", lambda c: c / c.sum(1).clamp_min(1), "COLUMN"),
    ("2.1", lambda c: c.numpy() / c.numpy().sum(1), "COLUMN"),
    ("2.1", lambda c: c / c.sum(0)[:, None], "sum of a column"),
    ("2.1", lambda c: c.numpy() / c.numpy().sum(0)[:, None], "sum of a column"),
    ("2.1", lambda c: c / c.sum(1, keepdim=True), "0 / 0 is nan: a token that never came first"),
    ("2.1", lambda c: c / c.sum(0).clamp_min(1), "wrong axis: there each column"),
    ("2.1", lambda c: c / c.sum(0, keepdim=True), "wrong axis, and 0 / 0"),
    ("2.1", lambda c: c / c.sum(), "divided by the total"),
    ("2.1", lambda c: c, "still counts"),
    ("2.1", lambda c: c / c.amax(1, keepdim=True).clamp(min=1), "highest count"),
    ("2.1", before, "what came before each token"),
    ("2.1", lambda c: c.float().softmax(-1), "softmax is for logits"),
    ("2.1", lambda c: (c + 1) / (c.sum(1, keepdim=True) + c.shape[1]), "without smoothing"),
    ("2.1", lambda c: c / (1 + c.sum(1, keepdim=True)), "1 was added to every row"),
    ("2.1", filled, "equal shares"),
    ("2.1", lambda c: after(c).log(), "those are logarithms"),
    ("2.1", lambda c: c // c.sum(1, keepdim=True).clamp_min(1), "whole-number division"),
    ("2.1", lambda c: after(c).T, "transposed"),
    ("2.1", lambda c: 100 * after(c), "constant factor 100"),
    ("2.2", lambda e, u: e @ u, "those are logits"),
    ("2.2", lambda e, u: (e @ u).softmax(-1), "their logarithm is missing"),
    ("2.2", lambda e, u: (e @ u).softmax(0).log(), "wrong axis"),
    ("2.2", lambda e, u: (e @ u) - (e @ u).exp().sum().log(), "whole table at once"),
    ("2.2", lambda e, u: ((e @ u).exp() / (e @ u).exp().sum(1)).log(), "keepdim=True"),
    ("2.2", lambda e, u: (e @ u) - (e @ u).logsumexp(1), "keepdim=True"),
    ("2.2", lambda e, u: (u @ e).log_softmax(-1), "wrong order"),
    ("2.2", lambda e, u: (u.T @ e.T).log_softmax(0), "columns are the current tokens: here"),
    ("2.2", lambda e, u: (u.T @ e.T).log_softmax(1), "softmax over its rows"),
    ("2.2", lambda e, u: (e @ u).log(), "logits themselves"),
    ("2.2", lambda e, u: (e @ u).softmax(1).log_softmax(1), "once is enough"),
    ("2.2", lambda e, u: (e @ u).softmax(1).log2(), "in bits"),
    ("2.2", lambda e, u: (e @ u).softmax(1).log10(), "base 10"),
    ("2.2", lambda e, u: -(e @ u).softmax(1).log(), "leave out the minus"),
    ("2.2", lambda e, u: (e @ u.T).log_softmax(1), "they fit as they are"),
    ("2.2", lambda e, u: (e @ u).log_softmax(1)[0], "wrong shape"),
    ("2.3", lambda c: (c.sum(1) / c.sum()) @ (rows_of(c) * (rows_of(c) / overall(c)).log()).sum(1), "nan"),
    ("2.3", lambda c: (c / c.sum() * (after(c) / overall(c)).log()).sum(), "leave out pairs that never came"),
    ("2.3", lambda c: nats(rows_of(c), overall(c)).mean(), "every row counted alike"),
    ("2.3", lambda c: nats(rows_of(c), overall(c))[c.sum(1) > 0].mean(), "every row that has counts"),
    ("2.3", lambda c: nats(rows_of(c), overall(c)).sum(), "without weights"),
    ("2.3", lambda c: overall(c) @ nats(rows_of(c), overall(c)), "come second: a row belongs"),
    ("2.3", lambda c: c.sum(1).float() @ nats(rows_of(c), overall(c)), "divide by the number of pairs"),
    (
        "2.3",
        lambda c: ((c.sum(1) / c.sum()) * nats(overall(c).expand(c.shape), rows_of(c))).sum(),
        "wrong way round",
    ),
    ("2.3", lambda c: information(c) / np.log(2), "in bits"),
    ("2.3", lambda c: -information(c), "sign is flipped"),
    ("2.3", lambda c: -(c / c.sum() * rows_of(c).log()).nansum(), "conditional entropy"),
    ("2.3", lambda c: -(overall(c) * overall(c).log()).nansum(), "entropy of the next token"),
    ("2.3", lambda c: -(c / c.sum() * (c / c.sum()).log()).nansum(), "joint entropy"),
    (
        "2.3",
        lambda c: torch.distributions.Categorical(c.sum(0)).entropy() + (c / c.sum() * (c / c.sum()).log()).nansum(),
        "subtracted the joint entropy",
    ),
    (
        "2.3",
        lambda c: (c.sum(1) / c.sum() * nats(rows_of(c), c.sum(1) / c.sum())).nansum(),
        "how often tokens come first",
    ),
    ("2.3", lambda c: (c.sum(1) / c.sum() * nats(rows_of(c), 1 / len(c))).sum(), "equal shares for all"),
    ("2.3", lambda c: information_by_two_entropies(c + 1), "without smoothing"),
    ("2.3", lambda c: (c.sum(1) / c.sum()) @ nats(c / c.sum(1).clamp_min(1), overall(c)), "keepdim=True"),
    ("2.3", lambda c: information(c) + 1, "the values differ"),
    ("2.3", lambda c: nats(rows_of(c), overall(c)), "wrong shape"),
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


@pytest.mark.parametrize(("label", "attempt"), ALSO_RIGHT)
def test_so_are_others(label, attempt):
    assert verdict(label, attempt).sentence == "right"


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
    known = {sentence for exercise in EXERCISES.values() for sentence in exercise.mistakes}
    known |= {sentence for exercise in EXERCISES.values() for sentence in exercise.crashes.values()}
    assert sorted(known - said) == []
