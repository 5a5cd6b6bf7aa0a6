"""The exercises of notebook 04."""

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.expanding import GROWING, expanded, small_models
from walkthrough.exercises.scoring import RISE_MISTAKES, SCORE_MISTAKES, log_probs, slow_rise, slow_score, triples
from walkthrough.exercises.tables import (
    CENTRED_MISTAKES,
    LOST,
    OV_MISTAKES,
    QK_MISTAKES,
    heads_of_a_model,
    ov_circuits,
    slow_centred,
    slow_ov,
    slow_qk,
)

EXERCISES: dict[str, Exercise] = {
    "4.1": Exercise(small_models, judge=expanded, crashes={"dictionary changed size": GROWING}),
    "4.2": Exercise(heads_of_a_model, slow_qk, QK_MISTAKES),
    "4.3": Exercise(heads_of_a_model, slow_ov, OV_MISTAKES),
    "4.4": Exercise(ov_circuits, slow_centred, CENTRED_MISTAKES, crashes={"must match the size of tensor b": LOST}),
    "4.5": Exercise(triples, slow_score, SCORE_MISTAKES),
    "4.6": Exercise(log_probs, slow_rise, RISE_MISTAKES),
}
