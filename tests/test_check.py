"""The verdict itself: what it accepts, what it names, and what it does with an attempt that misbehaves."""

import numpy as np
import pytest
import torch

from walkthrough.exercises import EXERCISES
from walkthrough.exercises import check as module
from walkthrough.exercises.check import check, verdict
from walkthrough.exercises.exercise import Exercise

MATRIX = torch.arange(12.0).reshape(3, 4) ** 1.5
SQUARE = torch.arange(9.0).reshape(3, 3) ** 1.5


@pytest.fixture
def pose(monkeypatch):
    """Set an exercise whose right answer is a given tensor."""

    def set_exercise(right, **kwargs):
        exercise = Exercise(cases=lambda: [()], oracle=lambda: right, **kwargs)
        monkeypatch.setattr(module, "EXERCISES", {"9.9": exercise})

    return set_exercise


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (MATRIX.T, "transposed: your shape is [4, 3], it should be [3, 4]"),
        (MATRIX[:, 1:], "wrong shape: yours is [3, 3], it should be [3, 4]"),
        (-MATRIX, "sign"),
        (MATRIX / 32**0.5, "constant factor 0.1768"),
        (MATRIX.roll(1, 1), "off by one along axis 1: did you count <BOS>?"),
        (MATRIX.roll(-1, 0), "off by one along axis 0"),
        (MATRIX / 0 * 0, "nan"),
        (MATRIX + torch.eye(3, 4), "values differ"),
        ("text", "of type str"),
        (torch.zeros(3, 4), "values differ"),
    ],
)
def test_a_wrong_answer_is_told_how_it_is_wrong(pose, answer, said):
    pose(MATRIX)
    result = verdict("9.9", answer)
    assert result.mark == "✗"
    assert said in result.sentence
    assert "\n" not in result.sentence


def test_a_square_matrix_transposed(pose):
    pose(SQUARE)
    assert "transposed" in verdict("9.9", SQUARE.T).sentence


@pytest.mark.parametrize(
    "answer",
    [
        *(
            MATRIX,
            MATRIX.numpy(),
            MATRIX.tolist(),
            list(MATRIX),
            MATRIX.double(),
            MATRIX * (1 + 1e-6),
            MATRIX.to_sparse(),
        ),
        [MATRIX[0].numpy(), MATRIX[1].tolist(), MATRIX[2]],
        (MATRIX[0].tolist(), MATRIX[1].double(), [*MATRIX[2]]),
        [[*MATRIX[0].numpy()], MATRIX[1].to_sparse(), tuple(MATRIX[2].tolist())],
    ],
)
def test_any_kind_of_right_answer_is_right(pose, answer):
    pose(MATRIX)
    assert verdict("9.9", answer).mark == "✓"


def test_a_small_error_is_an_error(pose):
    pose(MATRIX)
    assert verdict("9.9", MATRIX * (1 + 1e-3)).mark == "✗"


def test_a_named_mistake_comes_before_a_guess(pose):
    pose(MATRIX, mistakes={"missing the 1/√d_head": lambda: MATRIX * 2})
    assert verdict("9.9", MATRIX * 2).sentence == "missing the 1/√d_head"


def test_a_named_mistake_may_hold_nan(pose):
    pose(MATRIX, mistakes={"the empty row was divided by zero": lambda: MATRIX / MATRIX[:, :1] * MATRIX[:, :1]})
    assert verdict("9.9", MATRIX / MATRIX[:, :1] * MATRIX[:, :1]).sentence == "the empty row was divided by zero"


def test_a_classic_crash_is_named(pose):
    pose(MATRIX, crashes={"(3) must match the size of tensor b (4)": "take the first rows of the table"})
    assert verdict("9.9", lambda: MATRIX + torch.ones(4, 4)).sentence == "take the first rows of the table"
    assert "RuntimeError" in verdict("9.9", lambda: MATRIX + torch.ones(5, 4)).sentence


@pytest.mark.parametrize("answer", [..., None])
def test_no_answer_yet(pose, answer):
    pose(MATRIX)
    assert verdict("9.9", answer).mark == "○"


def test_code_that_fails_or_returns_nothing_is_wrong_in_one_sentence(pose):
    pose(MATRIX)
    assert verdict("9.9", lambda: None).sentence.startswith("your function returned None")
    assert verdict("9.9", lambda: 1 / 0).sentence == "your code stopped with ZeroDivisionError: division by zero"
    assert verdict("9.9", lambda extra: extra).mark == "✗"


def test_an_attempt_cannot_change_what_it_is_judged_on(monkeypatch):
    shared = torch.ones(3)
    exercise = Exercise(cases=lambda: [(shared,)], oracle=lambda x: x * 2)
    monkeypatch.setattr(module, "EXERCISES", {"9.9": exercise})
    assert verdict("9.9", lambda x: x.mul_(2)).mark == "✓"
    assert torch.equal(shared, torch.ones(3))


def test_a_judge_replaces_the_oracle(monkeypatch):
    judge = lambda answer, n: None if answer > n else f"{answer} is not above {n}"
    monkeypatch.setattr(module, "EXERCISES", {"9.9": Exercise(cases=lambda: [(1,), (5,)], judge=judge)})
    assert verdict("9.9", lambda n: n + 1).mark == "✓"
    assert verdict("9.9", lambda n: 3).sentence == "3 is not above 5"


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match=r"0\.1"):
        verdict("99.1", None)


def test_check_prints_label_mark_and_sentence(pose, capsys):
    pose(MATRIX)
    check("9.9", np.zeros((3, 4)))
    assert capsys.readouterr().out.startswith("9.9 ✗ the values differ")


@pytest.mark.parametrize("label", sorted(EXERCISES))
def test_no_classic_mistake_is_the_right_answer(label):
    exercise = EXERCISES[label]
    if exercise.judge is None:
        cases = exercise.cases()
        right = [module.as_tensor(exercise.oracle(*case)) for case in cases]
        for sentence, mistake in exercise.mistakes.items():
            wrong = [module.as_tensor(mistake(*case)) for case in cases]
            assert not all(module.same(*pair) for pair in zip(wrong, right)), sentence


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        (lambda x: x[None], "an axis of length 1 too many"),
        (lambda x: x.mean(0), "that is the mean over axis 0"),
        (lambda x: x.sum(1), "that is the sum over axis 1"),
        (lambda x: x / x.T.sum(0), "keepdim=True"),
    ],
)
def test_axes_lost_or_added_are_named(monkeypatch, mine, said):
    table = torch.randn(3, 5, generator=torch.Generator().manual_seed(4))
    monkeypatch.setitem(EXERCISES, "t.1", Exercise(cases=lambda: [(table,)], oracle=lambda x: x))
    result = verdict("t.1", mine)
    assert result.mark == "✗"
    assert said in result.sentence
