"""Which models a page can run by itself: those whose weights are exactly those of a file that ships with the course."""

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors

from walkthrough import models
from walkthrough.training.variants import FirstLayerPositions
from walkthrough.two_layers import forming

POSITIONS = {models.PaperModel: "all", FirstLayerPositions: "first"}  # the layers whose queries and keys get them
CHECKPOINT = re.compile(r"(two-layer|one-layer) after (\d+) steps")  # as `forming.checkpoints` names them


def engine_models(named: Mapping[Any, Any]) -> list[list] | None:
    """For the page's engine: pairs of a name to show and a description; None if it cannot run every one of these models."""
    found = [[str(name), description(model)] for name, model in named.items()]
    return found if all(about for _, about in found) else None


def description(model: Any) -> dict[str, Any] | None:
    """The file that a model's weights are in, its SHA-256, and the shape; None if there is no such file.

    A model whose weights were changed since it was loaded has none, nor has one with another tokenizer.
    """
    network = type(getattr(model, "original_model", None))
    about = of_name(model.cfg.model_name) if network in POSITIONS else None
    if about is None or POSITIONS[network] != about["positions"]:
        return None
    own = weights(model)
    stored = {
        key.removeprefix(about["prefix"]): value
        for key, value in tensors(about["file"]).items()
        if key.startswith(about["prefix"])
    }
    same = own.keys() == stored.keys() and all(torch.equal(own[key], stored[key].to(own[key])) for key in own)
    return about if same and spelt(model.tokenizer) == shipped_tokenizer(about["tokenizer"]) else None


@lru_cache(64)
def spelt(tokenizer: Any) -> str:
    """How a tokenizer cuts, as text; nothing for one that has no such form."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return ""
    known = json.loads(backend.to_str())  # also holds how it pads, which the library changes as it goes
    return json.dumps([known[part] for part in ("added_tokens", "normalizer", "pre_tokenizer", "model")])


@cache
def shipped_tokenizer(file: str, folder: Path = models.WEIGHTS) -> str:
    """A tokenizer that ships, as text of the same form."""
    return spelt(models.load_tokenizer((folder / file).parent))


def of_name(name: str) -> dict[str, Any] | None:
    """What is known of a model of the course by its name; None for another."""
    series = CHECKPOINT.fullmatch(name)
    if series is not None:
        run, step = series.groups()
        card = forming.read_card()
        return {
            "file": f"forming/{run}.safetensors", "sha256": card["sha256"][f"{run}.safetensors"], "config": card["config"][run],
            "tokenizer": "forming/tokenizer.json", "prefix": f"{step}.", "positions": "first",
        }  # fmt: skip
    if name not in (*models.NAMES, *models.SMALL, *models.HOMEWORK):
        return None
    card = models.read_card(name)
    return {
        "file": f"{name}.safetensors", "sha256": card["sha256"], "config": card["config"], "tokenizer": "tokenizer.json",
        "prefix": "", "positions": "all",
    }  # fmt: skip


def weights(model: Any) -> dict[str, torch.Tensor]:
    """A model's weights as they are now, by the names that they have in a file."""
    n_heads, d_head, d_model = model.cfg.n_heads, model.cfg.d_head, model.cfg.d_model
    found = {"tok_embed.weight": model.W_E, "head.weight": model.W_U.T}
    for layer in range(model.cfg.n_layers):
        for letter in "qkv":
            W = getattr(model, f"W_{letter.upper()}")[layer]  # [head d_model d_head]
            found[f"layers.{layer}.attn.{letter}.weight"] = W.transpose(1, 2).reshape(n_heads * d_head, d_model)
        found[f"layers.{layer}.attn.o.weight"] = model.W_O[layer].reshape(n_heads * d_head, d_model).T
    return found


@cache
def tensors(file: str, folder: Path = models.WEIGHTS) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights."""
    return load_safetensors((folder / file).read_bytes())


def engine_files(folder: Path = models.WEIGHTS) -> list[str]:
    """All files that the engine may ask for, by their names in the folder of weights."""
    named = [
        f"{name}.{kind}"
        for name in (*models.NAMES, *models.SMALL, *models.HOMEWORK)
        for kind in ("json", "safetensors")
    ]
    series = [f"forming/{name}" for name in ("tokenizer.json", *(f"{run}.safetensors" for run in forming.NAMES))]
    return [name for name in ["tokenizer.json", *named, *series] if (folder / name).exists()]
