"""The tasks of homework 2."""

from walkthrough.homework.task import Task

TASKS: dict[str, Task] = {}
