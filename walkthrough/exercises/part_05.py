"""The exercises of notebook 05."""

from walkthrough.exercises.copied import (
    ATTENDED_MISTAKES,
    POSITIVITY_MISTAKES,
    SURPRISE_MISTAKES,
    circuits_and_orders,
    no_whole_table,
    patterns_tokens_and_own,
    random_circuits,
    slow_attended,
    slow_positivity,
    slow_surprise,
)
from walkthrough.exercises.counterexample import judge_positive_but_not_copying
from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.kinds import judge_shuffles, kinds_to_shuffle

EXERCISES: dict[str, Exercise] = {
    "5.1": Exercise(random_circuits, slow_positivity, POSITIVITY_MISTAKES, limit=no_whole_table),
    "5.2": Exercise(lambda: [()], judge=judge_positive_but_not_copying),
    "5.3": Exercise(circuits_and_orders, slow_surprise, SURPRISE_MISTAKES),
    "5.4": Exercise(kinds_to_shuffle, judge=judge_shuffles),
    "5.5": Exercise(patterns_tokens_and_own, slow_attended, ATTENDED_MISTAKES),
}
