"""The exercises of notebook 01."""

import torch

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.rotating import judge_rotation, rotation_case
from walkthrough.exercises.summing import (
    DIRECT_MISTAKES,
    LAYER_MISTAKES,
    direct_slowly,
    layer_slowly,
    random_tensor,
)
from walkthrough.exercises.wiring import (
    VIRTUAL_MISTAKES,
    WIRE_MISTAKES,
    strength_slowly,
    wires_slowly,
)

__all__ = ["EXERCISES", "random_tensor"]

EXERCISES: dict[str, Exercise] = {
    "1.1": Exercise(
        cases=lambda: [
            (random_tensor(2, 3, 4, 5, seed=0), random_tensor(4, 5, 6, seed=1)),
            (random_tensor(3, 4, 2, 3, seed=2), random_tensor(2, 3, 7, seed=3)),
        ],
        oracle=layer_slowly,
        mistakes=LAYER_MISTAKES,
    ),
    "1.2": Exercise(
        cases=lambda: [
            (torch.tensor([[0, 3, 5, 3], [0, 6, 1, 2]]), random_tensor(7, 5, seed=0), random_tensor(5, 7, seed=1)),
            (torch.tensor([[0, 4, 4]]), random_tensor(6, 4, seed=2), random_tensor(4, 6, seed=3)),
        ],
        oracle=direct_slowly,
        mistakes=DIRECT_MISTAKES,
    ),
    "1.3": Exercise(cases=lambda: [rotation_case(10), rotation_case(20)], judge=judge_rotation),
    "1.4": Exercise(
        cases=lambda: [
            (random_tensor(3, 2, 7, seed=0), random_tensor(3, 7, 2, seed=1)),
            (random_tensor(4, 3, 6, seed=2), random_tensor(4, 6, 3, seed=3)),
        ],
        oracle=wires_slowly,
        mistakes=VIRTUAL_MISTAKES,
    ),
    "1.5": Exercise(
        cases=lambda: [
            (random_tensor(3, 2, 7, seed=0), random_tensor(3, 7, 2, seed=1)),
            (random_tensor(4, 3, 6, seed=2), random_tensor(4, 6, 3, seed=3)),
        ],
        oracle=strength_slowly,
        mistakes=WIRE_MISTAKES,
        crashes={
            "must match the size of tensor": "the sizes do not line up: W_O has one norm for each head that writes, in "
            "the shape [write, 1], and W_in one for each that reads, in the shape [read]"
        },
    ),
}
