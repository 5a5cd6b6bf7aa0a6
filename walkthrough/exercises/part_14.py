"""The exercises of notebook 14."""

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.folding import folded_runs, judge_fold, judge_frozen, layer_norms
from walkthrough.exercises.neurons import (
    COSINE_MISTAKES,
    judge_readings,
    judge_terms,
    models_with_neurons,
    neurons,
    pairs_of_weights,
    slow_cosines,
)

COLUMNS = "the gain belongs to the coordinates of the stream, the rows of W: write gain[:, None] * W"
SHAPES = {f"The size of tensor a ({a}) must match the size of tensor b ({b})": COLUMNS for a, b in ((6, 4), (4, 6))}

EXERCISES: dict[str, Exercise] = {
    "14.1": Exercise(layer_norms, judge=judge_fold, crashes=SHAPES),
    "14.2": Exercise(folded_runs, judge=judge_frozen),
    "14.3": Exercise(models_with_neurons, judge=judge_terms),
    "14.4": Exercise(neurons, judge=judge_readings),
    "14.5": Exercise(pairs_of_weights, slow_cosines, COSINE_MISTAKES),
}  # fmt: skip
