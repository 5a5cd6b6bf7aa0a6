"""The tasks of homework 1."""

from walkthrough.homework.task import Task

TASKS: dict[str, Task] = {}
