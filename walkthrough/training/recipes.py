"""Recipes of the shipped models, and which rows of the corpus each step trains on."""

import dataclasses
import functools
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a training run depends on. `batch` counts sequences over all processes; learning rates are the peaks.

    `bf16` None stands for whichever of bfloat16 and float32 is faster where the run begins (`trainer.settled`).
    """

    n_layers: int
    d_model: int = 256
    n_heads: int = 8
    n_ctx: int = 256
    d_vocab: int = 4096
    batch: int = 6
    steps: int = 36_000
    warmup: int = 100
    adam_lr: float = 1.8e-3
    muon_lr: float = 9e-3
    bf16: bool | None = None
    seed: int = 0
    checkpoint_every: int = 500
    network: str = "paper"  # which of `walkthrough.training.variants.NETWORKS`

    @property
    def shape(self) -> dict[str, int]:
        """What `walkthrough.models.config` takes."""
        return {key: getattr(self, key) for key in ("n_layers", "d_model", "n_heads", "n_ctx", "d_vocab")}

    def lr_factor(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to nothing."""
        return min(1.0, (step + 1) / self.warmup) * 0.5 * (1 + math.cos(math.pi * step / self.steps))


RECIPES = {"zero-layer": Recipe(0, steps=18_000), "one-layer": Recipe(1), "two-layer": Recipe(2)}
for seed in (1, 2):  # two runs that differ in their seed alone, to tell what is luck
    RECIPES[f"small-seed-{seed}"] = Recipe(2, d_model=128, n_heads=4, batch=4, steps=15_000, seed=seed)


@functools.lru_cache(maxsize=1)
def epoch_order(n_rows: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of the rows for one pass over them."""
    return np.random.default_rng([seed, epoch]).permutation(n_rows)


def batch_rows(n_rows: int, recipe: Recipe, step: int) -> np.ndarray:
    """Which rows step number `step` trains on, from the seed alone.

    Nothing is carried from step to step, which is why a resumed run sees what an unbroken one would have seen.
    """
    epoch, first = divmod(step, n_rows // recipe.batch)
    return epoch_order(n_rows, recipe.seed, epoch)[first * recipe.batch : (first + 1) * recipe.batch]


# Small enough that its induction heads form while one looks on (`walkthrough.training.live`).
LIVE = Recipe(
    2, d_model=64, n_heads=4, n_ctx=128, d_vocab=512, batch=4, steps=4_000, warmup=400, adam_lr=5e-3, muon_lr=2.5e-2,
    bf16=False, network="first-layer positions",
)  # fmt: skip
