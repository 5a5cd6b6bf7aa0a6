"""A task of a homework, and the verdict on an attempt at it: on fresh inputs, with the misconception named.

Unlike an exercise of the course, a task gives no number away, and takes its inputs from a seed.
"""

import copy
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from walkthrough.exercises.check import RIGHT, WRONG, Verdict, answers_to, as_tensor, likely_mistake, same


@dataclass(frozen=True)
class Mistake:
    """A misconception, the place in the course that clears it up, and what it computes on a task's inputs."""

    sentence: str
    see: str
    wrong: Callable[..., Any]


@dataclass(frozen=True)
class Task:
    """What is asked (`name`, a function or a variable of the notebook), on which inputs, and how it is judged.

    `cases(seed)` draws fresh inputs. `oracle` is the slow and obvious answer, or the model itself. Where many
    answers are right, `judge(answer, *inputs)` replaces it and returns None, or what is wrong. `see` is the place in
    the course for whatever no mistake explains. `points` must be the test cell's.
    """

    name: str
    points: int
    see: str
    cases: Callable[[int], list[tuple]]
    oracle: Callable[..., Any] | None = None
    mistakes: Sequence[Mistake] = ()
    judge: Callable[..., str | None] | None = None


def seed_for(secret: str, student: str, label: str) -> int:
    """The seed of one student's inputs: the same at every grading, and nobody else's."""
    return int.from_bytes(hashlib.sha256("\0".join([secret, student, label]).encode()).digest()[:4], "big")


def verdict(task: Task, attempt: Any, seed: int, copied: Callable = copy.deepcopy) -> Verdict:
    """Judge an attempt: a function, which is called on inputs drawn from the seed, or a plain answer.

    A function gets copies of the inputs; `copied` is `tuple` for one that is called elsewhere, and gets them in a message.
    """
    cases = task.cases(seed)
    answers = answers_to(attempt, cases, copied)
    if isinstance(answers, Verdict):
        return stopped(task, answers, attempt, cases, copied) if answers.mark == WRONG else answers
    if task.judge is not None:
        complaints = (task.judge(answer, *case) for answer, case in zip(answers, cases))
        found = next((complaint for complaint in complaints if complaint), None)
        return wrong(found, task.see) if found else Verdict(RIGHT, "right")
    try:
        answers = [as_tensor(answer) for answer in answers]
    except (TypeError, ValueError, RuntimeError):
        kind = type(answers[0]).__name__
        return wrong(f"your answer is of type {kind}, where numbers or a tensor were expected", task.see)
    return compare(task, answers, cases)


def compare(task: Task, answers: list[Tensor], cases: list[tuple]) -> Verdict:
    """Answers against the oracle's; then against each mistake's; then by their form alone."""
    right = [as_tensor(task.oracle(*case)) for case in cases]
    if all(same(*pair) for pair in zip(answers, right)):
        return Verdict(RIGHT, "right")
    found = explained(task, answers, cases)
    return wrong(found.sentence, found.see) if found else wrong(by_form(answers, right, cases), task.see)


def explained(task: Task, answers: list[Tensor], cases: list[tuple]) -> Mistake | None:
    """The misconception that leads to these answers, if the task knows it."""
    for mistake in task.mistakes:
        if all(same(answer, as_tensor(mistake.wrong(*case))) for answer, case in zip(answers, cases)):
            return mistake
    return None


def stopped(task: Task, stop: Verdict, attempt: Any, cases: list[tuple], copied: Callable) -> Verdict:
    """The verdict on an attempt that stopped with an error on some case.

    The last case of a task may be one too large for what the task rules out. Who gets there with a misconception hears
    of that first.
    """
    before = answers_to(attempt, cases[:-1], copied) if len(cases) > 2 and task.oracle else stop
    if not isinstance(before, Verdict):
        try:
            found = explained(task, [as_tensor(answer) for answer in before], cases[:-1])
        except (TypeError, ValueError, RuntimeError):
            found = None
        if found:
            return wrong(found.sentence, found.see)
    if "allocate" in stop.sentence:
        return wrong(
            "your code asked for more memory than there is: it forms a matrix that the task rules out", task.see
        )
    return wrong(stop.sentence, task.see)


def by_form(answers: list[Tensor], right: list[Tensor], cases: list[tuple]) -> str:
    """One sentence on a wrong answer that no mistake of the task's own explains; it tells no value."""
    if all(any(isinstance(x, Tensor) and same(a, x.double()) for x in case) for a, case in zip(answers, cases)):
        return "your function returned one of its inputs, unchanged"
    constant = all(same(a, b) for a, b in itertools.pairwise(answers))
    if len(answers) > 1 and constant and not all(same(a, b) for a, b in itertools.pairwise(right)):
        return "the same answer for different inputs: is it hard-coded to the example?"
    mine, wanted = next(pair for pair in zip(answers, right) if not same(*pair))
    return (
        likely_mistake(mine, wanted) or "the values are not right on fresh inputs, and no usual mistake explains them"
    )


def wrong(sentence: str, see: str) -> Verdict:
    """A refusal that says what to read."""
    return Verdict(WRONG, f"{sentence} (see {see})")
