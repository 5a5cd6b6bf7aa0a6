"""The exercises of notebook 03."""

from walkthrough.exercises.exercise import Exercise

EXERCISES: dict[str, Exercise] = {}
