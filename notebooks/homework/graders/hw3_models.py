"""What the tasks of homework 3 share: random one-layer models, seeds, and the places that refusals send to."""

import torch

from walkthrough import models

PATHS = "notebook 04, “The model is a sum of paths”"
TABLES = "notebook 04, “Two tables for each head”"
STEPS = "notebook 03, “Where a head looks”"
MAP = "notebook 00, “The weights, by name”"
CENTRE = "notebook 04, “What may be compared with what”"
MIXTURES = "notebook 05, “From single tokens to mixtures”"
COPYING = "notebook 05, “Thirty-two eigenvalues for 4,096 tokens”"
SAY = "notebook 06, “What two tables must say”"


def seeds(seed: int, number: int) -> list[int]:
    """As many seeds as wanted, all drawn from one."""
    return torch.randint(2**31, (number,), generator=torch.Generator().manual_seed(seed)).tolist()


def loud(seed: int, d_model: int, n_heads: int, d_vocab: int):
    """A random one-layer model: patterns far from uniform, much that all logits share, and large ones of `<BOS>`."""
    network = models.PaperModel(models.config(1, d_model, n_heads, 16, d_vocab), seed)
    network.tok_embed.weight.data *= 10
    network.head.weight.data *= 10
    network.head.weight.data[0] *= 4
    network.head.weight.data += torch.randn(d_model, generator=torch.Generator().manual_seed(seed))
    return models.bridge(network, name="loud")
