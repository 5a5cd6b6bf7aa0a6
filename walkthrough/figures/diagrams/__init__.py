"""Drawings of what the formulas say, from a model's real shape; `figures.show(..., drawing=True)` shows them.

One grammar for all: the residual stream is a grey-blue band, where a head looks (QK) is orange and dashed, what it moves
(OV) is green and solid, the direct path is black, a token is a white box, a head is a box with round corners.
"""

from walkthrough.figures.diagrams.beyond import free_turns, layernorm, neuron
from walkthrough.figures.diagrams.directions import directions
from walkthrough.figures.diagrams.force import force_on_sphere
from walkthrough.figures.diagrams.mixtures import mixtures
from walkthrough.figures.diagrams.offsets import offsets_and_heads
from walkthrough.figures.diagrams.orders import ordered_runs, two_routes
from walkthrough.figures.diagrams.particles import layers_as_time, tangent_force
from walkthrough.figures.diagrams.paths import freezing, path_expansion
from walkthrough.figures.diagrams.released import shared_keys, todays_layer, turning_planes
from walkthrough.figures.diagrams.reverse import smallest_edit, swapped_heads, used_directions
from walkthrough.figures.diagrams.spaces import bench, subspaces
from walkthrough.figures.diagrams.stream import composition, head, residual_stream
from walkthrough.figures.diagrams.tables import direct_path, kronecker, low_rank, two_by_two
from walkthrough.figures.diagrams.text import arcs, rotation, tokens_to_logits
from walkthrough.figures.diagrams.transition import transition

__all__ = [
    "arcs", "bench", "composition", "direct_path", "directions", "force_on_sphere", "free_turns", "freezing", "head", "kronecker", "layernorm", "layers_as_time", "low_rank", "mixtures",
    "neuron", "offsets_and_heads", "ordered_runs", "path_expansion", "residual_stream", "rotation", "shared_keys", "smallest_edit", "subspaces", "swapped_heads", "tangent_force", "todays_layer", "tokens_to_logits", "transition", "turning_planes", "two_by_two", "two_routes", "used_directions",
]  # fmt: skip
