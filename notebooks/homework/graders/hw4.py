"""The tasks of homework 4."""

from walkthrough.homework.task import Task

TASKS: dict[str, Task] = {}
