"""The exercises of notebook 01."""

from walkthrough.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
