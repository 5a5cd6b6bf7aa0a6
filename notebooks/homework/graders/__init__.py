"""The teacher's side of the homework: every task's inputs, oracle and usual mistakes. In no release."""

import secrets
import sys
from typing import Any

from graders import hw1, hw2, hw3, hw4, hw5, hw6
from walkthrough.exercises.check import RIGHT
from walkthrough.homework.task import Task, verdict

TASKS: dict[str, Task] = hw1.TASKS | hw2.TASKS | hw3.TASKS | hw4.TASKS | hw5.TASKS | hw6.TASKS


def check(label: str, attempt: Any) -> None:
    """Print the verdict on an attempt, on inputs drawn anew each time; a refusal goes to stderr, as nbgrader expects.

    Raises ValueError if there is no task with this label.
    """
    if label not in TASKS:
        raise ValueError(f"there is no task {label!r}: the tasks are {', '.join(TASKS)}")
    result = verdict(TASKS[label], attempt, secrets.randbits(32))
    print(label, result.mark, result.sentence, file=sys.stdout if result.mark == RIGHT else sys.stderr)
