"""A limit on size: a forbidden table is noticed however it is made, and small roads get through."""

import numpy as np
import pytest
import torch

from walkthrough.exercises import check as module
from walkthrough.exercises.check import verdict
from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.limits import WIDE, small_only, wide

TALL, FLAT = wide(WIDE, 1), wide(1, WIDE)
limit = small_only("too large a table", TALL, FLAT)
FORBIDDEN = {
    "matmul": lambda A, B: (A @ B).trace(),
    "float64": lambda A, B: (A.double() @ B.double()).trace(),
    "broadcast": lambda A, B: (A * B).diagonal().sum(),
    "einsum": lambda A, B: torch.einsum("vd,dw->vw", A, B).trace(),
    "outer": lambda A, B: torch.outer(A[:, 0], B[0]).trace(),
    "numpy": lambda A, B: np.trace(A.numpy() @ B.numpy()),
    "numpy einsum": lambda A, B: np.trace(np.einsum("vd,dw->vw", A.numpy(), B.numpy())),
    "an identity": lambda A, B: (B @ torch.eye(len(A)) @ A).trace(),
}
SMALL = {
    "matmul": lambda A, B: (B @ A).trace(),
    "einsum": lambda A, B: torch.einsum("vd,dv->", A, B),
    "numpy": lambda A, B: np.trace(B.numpy() @ A.numpy()),
}


@pytest.mark.parametrize("road", FORBIDDEN)
def test_a_table_that_no_machine_holds_is_noticed(road):
    assert limit(FORBIDDEN[road]) == "too large a table"


@pytest.mark.parametrize("road", SMALL)
def test_small_roads_get_through(road):
    assert limit(SMALL[road]) is None


def test_wide_inputs_take_no_room_and_their_sums_are_exact():
    assert TALL.untyped_storage().nbytes() == 4
    assert (FLAT @ TALL).item() == 1.0


def test_another_error_is_told_as_what_it_is():
    def only_small(A, B):
        raise KeyError("no such token")

    assert limit(only_small).startswith(
        "right on small matrices, but on very wide ones your code stopped with KeyError"
    )
    assert limit(torch.tensor(1.0)) is None  # a plain answer exceeds nothing


def test_a_right_answer_beyond_the_limit_is_refused_and_a_wrong_one_is_told_what_is_wrong(monkeypatch):
    A, B = torch.arange(6.0).reshape(3, 2), torch.arange(6.0).reshape(2, 3) ** 2
    exercise = Exercise(lambda: [(A, B)], lambda A, B: (A @ B).trace(), limit=limit)
    monkeypatch.setattr(module, "EXERCISES", {"9.9": exercise})
    assert verdict("9.9", SMALL["matmul"]).mark == "✓"
    assert verdict("9.9", FORBIDDEN["matmul"]) == module.Verdict("✗", "too large a table")
    assert verdict("9.9", lambda A, B: -(A @ B).trace()).sentence == "the sign is flipped"
    assert verdict("9.9", lambda A, B: None).mark == "✗"
