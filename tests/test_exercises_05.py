"""The checks of notebook 05 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch

from walkthrough.exercises.check import verdict


def right_positivity(W_E, W_V, W_O, W_U):
    left, right = W_E @ W_V, W_O @ W_U
    values, _ = torch.linalg.eig(right @ left)
    return torch.trace(right @ left) / torch.hypot(values.real, values.imag).sum()


def right_surprise(A, B, orders):
    B = B - B.mean(1, keepdim=True)
    small = torch.stack([B @ A, *[B[:, order] @ A for order in orders]])
    values = torch.linalg.eigvals(small)
    score = values.sum(1).real / values.abs().sum(1)
    return (score[0] - score[1:].mean()) / score[1:].std()


RIGHT = {
    "5.1": right_positivity, "5.2": lambda: torch.tensor([[3.0, 2.0], [-2.0, -1.0]]), "5.3": right_surprise,
}  # fmt: skip
NOT_A_BUG = [
    (lambda: torch.eye(3), "no token lowers its own logit"),
    (lambda: torch.diag(torch.tensor([3.0, 2.0, -1.0])), "not all eigenvalues are positive: the smallest is -1"),
    (lambda: torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), "some eigenvalues are complex"),
    (lambda: torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), "not all eigenvalues are positive"),
    (lambda: torch.ones(2, 3), "a square matrix was expected: the shape of yours is [2, 3]"),
    (lambda: torch.full((2, 2), torch.nan), "nan or infinity"),
    (lambda: "a matrix", "of type str"),
]


GENERIC = [
    ("5.1", lambda *case: -right_positivity(*case), "the sign is flipped"),
    ("5.1", lambda e, v, o, u: right_positivity(e, o.T, v.T, u) * 3, "the values differ"),
    ("5.1", lambda e, v, o, u: v @ o @ u @ e, "wrong shape"),
    ("5.3", lambda *case: -right_surprise(*case), "the sign is flipped"),
    ("5.3", lambda a, b, o: (right_surprise(a, b, o) * 0) / 0, "nan"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


@pytest.mark.parametrize(("attempt", "words"), NOT_A_BUG)
def test_what_is_no_counterexample_is_refused_with_a_reason(attempt, words):
    result = verdict("5.2", attempt)
    assert result.mark == "✗"
    assert words in result.sentence


@pytest.mark.parametrize("matrix", [
    [[7.0, 4.0], [-4.0, -2.0]], torch.tensor([[1.0, 9, 0], [0, 2, 9], [0.05, 0.4, -0.001]]).double() * 1e6,
])  # fmt: skip
def test_a_counterexample_is_judged_by_what_it_does(matrix):
    """A list will do, and the judge agrees with eigenvalues worked out again."""
    values = torch.linalg.eigvals(torch.as_tensor(matrix).double())
    good = bool((values.imag == 0).all() and (values.real > 0).all())
    assert (verdict("5.2", lambda: matrix).mark == "✓") == good
