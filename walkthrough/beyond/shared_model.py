"""The deep model with shared weights, the texts that the bridge is measured on, and models of random weights beside
them.
"""

import hashlib
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors.torch import load as load_safetensors
from torch import Tensor

from walkthrough import models
from walkthrough.training.shared import NAME, SharedWeights

FOLDER = models.WEIGHTS / "shared"


def shared_card(folder: Path = FOLDER) -> dict:
    """The card of the model with shared weights: its recipe and loss, and those of random weights and its control."""
    return models.read_card(NAME, folder)


def shared_network(seed: int | None = None, folder: Path = FOLDER) -> SharedWeights:
    """The network itself, with its one layer: trained, or with the random weights of a seed.

    Raises ValueError for weights that are missing or not the card's.
    """
    card, file = shared_card(folder), folder / f"{NAME}.safetensors"
    network = SharedWeights(models.config(**card["config"]), seed or 0)
    if seed is None:
        if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != card["sha256"]:
            raise ValueError(f"the weights {file.name} in {folder} are not those of the card: install the course again")
        network.load_state_dict(
            {key: t.float() for key, t in load_safetensors(file.read_bytes()).items()}, strict=False
        )
    return network.requires_grad_(False)


def load_shared(folder: Path = FOLDER) -> models.TransformerBridge:
    """The model whose layers are one and the same, as a bridge with a copy of the layer for each time that it is used.

    After each layer, and after the embedding, the stream is put back on a sphere (RMSNorm without a gain): `resid_pre`
    of a layer is that of `resid_post` of the one before. Raises ValueError as `shared_network` does.
    """
    return models.bridge(shared_network(folder=folder).written_out(), models.load_tokenizer(folder), NAME)


def any_model(name: str) -> models.TransformerBridge:
    """A shipped model by its name, "shared-weights" among them."""
    return load_shared() if name == NAME else models.load(name)


def random_twin(name: str, seed: int = 1) -> models.TransformerBridge:
    """A model of the same shape with random weights: of a shipped model, or of "shared-weights"."""
    if name == NAME:
        network = shared_network(seed).written_out()
    else:
        network = models.network(models.config(**models.read_card(name)["config"]), seed)
    return models.bridge(network, None, f"random {name}")


def kept_texts(kind: str = "course", folder: Path = FOLDER) -> Int[Tensor, "text pos"]:
    """Eight texts of 128 tokens that no model here was trained on, the same on every computer; `<BOS>` comes first.

    "course" are in the tokens of the course's models, "small" in those of the model with shared weights. Raises
    ValueError for another kind.
    """
    stored = load_safetensors((folder / "texts.safetensors").read_bytes())
    if kind not in stored:
        raise ValueError(f"there are no texts of kind {kind!r}: take 'course' or 'small'")
    return stored[kind].long()


def shuffled_texts(texts: Int[Tensor, "text pos"], seed: int = 0) -> Int[Tensor, "text pos"]:
    """Each text with its tokens in another order, `<BOS>` still first: what is left is how often each token occurs."""
    generator = torch.Generator().manual_seed(seed)
    orders = torch.stack([torch.randperm(texts.shape[1] - 1, generator=generator) + 1 for _ in texts])
    return torch.cat([texts[:, :1], texts.gather(1, orders)], 1)
