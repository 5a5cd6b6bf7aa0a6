"""Homework: what a task is, and the teacher's commands (`python -m walkthrough.homework`).

No task's answer or test is in this package: they belong to the teacher, beside the notebooks.
"""
