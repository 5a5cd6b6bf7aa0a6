"""The tasks of homework 5."""

from walkthrough.homework.task import Task

TASKS: dict[str, Task] = {}
