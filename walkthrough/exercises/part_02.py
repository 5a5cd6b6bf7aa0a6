"""The exercises of notebook 02."""

from walkthrough.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
