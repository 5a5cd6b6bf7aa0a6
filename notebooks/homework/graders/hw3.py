"""The tasks of homework 3."""

from walkthrough.homework.task import Task

TASKS: dict[str, Task] = {}
