"""The exercises of notebook 00."""

from walkthrough.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
