"""The verdict on an exercise: right, not attempted yet, or wrong with the likely mistake named."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises import EXERCISES, Exercise
from walkthrough.marks import NOT_ATTEMPTED, RIGHT, WRONG


@dataclass(frozen=True)
class Verdict:
    """A mark (✓, ✗ or ○) and one sentence that says what to do next."""

    mark: str
    sentence: str


def check(label: str, attempt: Any) -> None:
    """Print the verdict on an attempt at the exercise with this label, as `3.2 ✓ right`."""
    result = verdict(label, attempt)
    print(label, result.mark, result.sentence)


def verdict(label: str, attempt: Any) -> Verdict:
    """Judge an attempt: a function, which is called on inputs of the check's own, or a plain answer.

    Raises ValueError if there is no exercise with this label.
    """
    if label not in EXERCISES:
        raise ValueError(f"there is no exercise {label!r}: the exercises are {', '.join(EXERCISES)}")
    exercise = EXERCISES[label]
    result = judged(exercise, attempt)
    exceeded = exercise.limit(attempt) if exercise.limit and result.mark == RIGHT else None
    return Verdict(WRONG, exceeded) if exceeded else result


def judged(exercise: Exercise, attempt: Any) -> Verdict:
    """The verdict on what an attempt answers, whatever it takes to get there."""
    cases = exercise.cases()
    answers = answers_to(attempt, cases)
    if isinstance(answers, Verdict):
        named = next((sentence for part, sentence in exercise.crashes.items() if part in answers.sentence), None)
        return Verdict(WRONG, named) if named else answers
    if exercise.judge is not None:
        complaints = [exercise.judge(answer, *case) for answer, case in zip(answers, cases)]
        found = next((complaint for complaint in complaints if complaint), None)
        return Verdict(WRONG, found) if found else Verdict(RIGHT, "right")
    try:
        answers = [as_tensor(answer) for answer in answers]
    except (TypeError, ValueError, RuntimeError):
        kind = type(answers[0]).__name__
        return Verdict(WRONG, f"your answer is of type {kind}, where numbers or a tensor were expected")
    return compare(exercise, answers, cases)


def answers_to(attempt: Any, cases: list[tuple], copied: Callable = copy.deepcopy) -> list[Any] | Verdict:
    """The attempt's answer to each case, of which it gets a copy; or the verdict, if it has none to some case."""
    answers = []
    for case in cases:
        try:
            answer = attempt(*copied(case)) if callable(attempt) else attempt
        except NotImplementedError:
            return Verdict(NOT_ATTEMPTED, "not attempted yet")
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            lost = "must match the size of tensor" in reason  # what a sum without keepdim leads to
            hint = "; if you divided by a sum over an axis, it has to keep that axis: keepdim=True" if lost else ""
            return Verdict(WRONG, f"your code stopped with {type(error).__name__}: {reason}{hint}")
        if answer is ... or (answer is None and not callable(attempt)):
            return Verdict(NOT_ATTEMPTED, "not attempted yet")
        if answer is None:
            return Verdict(WRONG, "your function returned None: is there a return statement?")
        answers.append(answer)
    return answers


def compare(exercise: Exercise, answers: list[Tensor], cases: list[tuple]) -> Verdict:
    """Answers against the oracle's, on every case; then against what each classic mistake would have given."""
    right = [as_tensor(exercise.oracle(*case)) for case in cases]
    wrong_at = next((i for i, pair in enumerate(zip(answers, right)) if not same(*pair)), None)
    if wrong_at is None:
        return Verdict(RIGHT, "right")
    for sentence, mistake in exercise.mistakes.items():
        if all(same(answer, as_tensor(mistake(*case))) for answer, case in zip(answers, cases)):
            return Verdict(WRONG, sentence)
    mine, right = answers[wrong_at], right[wrong_at]
    return Verdict(WRONG, likely_mistake(mine, right) or worst_place(mine, right))


def as_tensor(answer: Any) -> Tensor:
    """Any answer that is made of numbers (tensor, array, FactoredMatrix, or a list of any of them) as a tensor of float64."""
    answer = getattr(answer, "AB", answer)
    if isinstance(answer, (list, tuple)) and not all(isinstance(item, (int, float)) for item in answer):
        answer = torch.stack([as_tensor(item) for item in answer])
    answer = torch.as_tensor(answer).detach()
    return (answer if answer.layout == torch.strided else answer.to_dense()).double()


def same(mine: Tensor, right: Tensor) -> bool:
    """Equal in shape, and in value to what float32 arithmetic in another order leaves equal; nan where the other is nan."""
    finite = right[right.isfinite()]
    scale = finite.abs().max().clamp_min(1e-3).item() if finite.numel() else 1.0
    return mine.shape == right.shape and torch.allclose(mine, right, rtol=1e-4, atol=2e-5 * scale, equal_nan=True)


def likely_mistake(mine: Tensor, right: Tensor) -> str | None:
    """One sentence on how a wrong answer is related to the right one; None if it is not in any simple way."""
    if mine.shape != right.shape:
        if mine.ndim >= 2 and same(mine.transpose(-1, -2), right):
            return f"transposed: your shape is {list(mine.shape)}, it should be {list(right.shape)}"
        if same(mine.squeeze(), right.squeeze()):
            return f"the values are right, but there is an axis of length 1 too many or too few: your shape is {list(mine.shape)}, it should be {list(right.shape)}"
        if mine.ndim < right.ndim and (axes := averaged(mine, right)):
            return f"that is the {axes[0]} over axis {axes[1]}: one value for each entry is asked for, in the shape {list(right.shape)}"
        return f"wrong shape: yours is {list(mine.shape)}, it should be {list(right.shape)}"
    if mine.isnan().any():
        return "your answer holds nan: was something divided by zero, or an infinity subtracted from another?"
    if (mine.isinf() & right.isfinite()).any():
        return "your answer holds infinity: was something divided by zero?"
    if mine.ndim >= 2 and mine.shape[-1] == mine.shape[-2] and same(mine.transpose(-1, -2), right):
        return "transposed: rows and columns are swapped"
    if same(-mine, right):
        return "the sign is flipped"
    if mine.ndim and right.norm() > 0 and mine.norm() > 0:
        factor = (mine * right).sum() / (right * right).sum()
        if same(mine, factor * right):
            return f"off by the constant factor {factor.item():.4g} everywhere: is a scale missing or applied twice?"
    for axis in range(mine.ndim):
        size = mine.shape[axis]
        ahead, behind = (x.narrow(axis, 1, size - 1) for x in (mine, right))
        ahead_right, behind_mine = (x.narrow(axis, 0, size - 1) for x in (right, mine))
        if size > 2 and (same(ahead, ahead_right) or same(behind_mine, behind)):
            return f"off by one along axis {axis}: did you count <BOS>?"
    return None


def averaged(mine: Tensor, right: Tensor) -> tuple[str, int] | None:
    """Whether an answer is the mean or the sum of the right one over an axis, and which."""
    for axis in range(right.ndim):
        for name, over in (("mean", right.mean(axis)), ("sum", right.sum(axis))):
            if same(mine, over):
                return name, axis
    return None


def worst_place(mine: Tensor, right: Tensor) -> str:
    """Where two answers of one shape differ most, and what they are there."""
    where = (mine - right).abs().argmax()
    index = [i.item() for i in torch.unravel_index(where, mine.shape)]
    place = f" at {index}" if index else ""
    return f"the values differ, most of all{place}: yours is {mine[tuple(index)]:.4g}, it should be {right[tuple(index)]:.4g}"
