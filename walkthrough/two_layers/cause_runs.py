"""What was measured of the runs that ask why induction heads form, and three of the models that they ended with.

`python -m walkthrough.training.causes` made the runs, `python -m walkthrough.training.causes_table` measured them.
"""

import hashlib
import json
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load as load_safetensors
from torch import Tensor

from walkthrough import models
from walkthrough.training.cause_networks import ALL_NETWORKS

FOLDER = models.WEIGHTS / "causes"


def table(folder: Path = FOLDER) -> dict[str, dict[str, dict]]:
    """For each run and each seed, lists over time of all that was measured; ValueError if the table is missing."""
    file = folder / "table.json"
    if not file.exists():
        raise ValueError(f"the table of the runs is missing from {folder}: install the course again")
    return json.loads(file.read_text(encoding="utf-8"))


def over_time(runs: dict[str, dict], measure: str) -> Float[Tensor, "seed time *head"]:
    """One measure of all seeds of a run: a number for each time, or one for each layer and head."""
    return torch.tensor([run[measure] for run in runs.values()], dtype=torch.float32)


def best_head(runs: dict[str, dict], measure: str, layer: int | None = None) -> Float[Tensor, "seed time"]:
    """The largest score of any head, or of any of one layer."""
    scores = over_time(runs, measure)
    scores = scores if layer is None else scores[:, :, layer : layer + 1]
    return scores.flatten(2).amax(-1)


def load(name: str, folder: Path = FOLDER) -> models.TransformerBridge:
    """The model that a run ended with. Raises ValueError for a run whose model is not kept, and for a damaged file."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    if name not in card["models"]:
        raise ValueError(f"no model of {name!r} is kept: there are {', '.join(map(repr, card['models']))}")
    about = card["models"][name]
    stored = (folder / about["file"]).read_bytes()
    if hashlib.sha256(stored).hexdigest() != about["sha256"]:
        raise ValueError(
            f"the weights {about['file']} are not the file that the card describes (their SHA-256 differs): the file is "
            "damaged or was swapped, so it was not loaded; install the course again"
        )
    network = ALL_NETWORKS[about["network"]](models.config(**about["config"]))
    network.load_state_dict({key: t.float() for key, t in load_safetensors(stored).items()}, strict=False)
    return models.bridge(network, None, name)
