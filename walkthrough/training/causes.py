"""Runs that ask why induction heads form: each differs from the live run in one respect, three seeds each.

`python -m walkthrough.training.causes folder` trains them, at most a minute each, keeps snapshots of each in the folder,
and goes on where it was stopped; `walkthrough.training.causes_table` measures them.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from safetensors.torch import load, save

from walkthrough.models import PaperModel, config
from walkthrough.training.cause_networks import ALL_NETWORKS
from walkthrough.training.live import LiveRun, Text, read_text
from walkthrough.training.recipes import LIVE, Recipe

SEEDS = (0, 1, 2)
STEPS = 2_000  # where a run is left: 1.02 million tokens
COPYING_STEPS = 1_200  # and one on copied text
EVERY = 200  # steps between two snapshots
FIXED, SHORTEST = 60, 16  # tokens of a copy: always as many; or at least so many


# name -> (network, layers, training text)
RUNS: dict[str, tuple[str, int, str]] = {
    "one layer": ("paper", 1, "code"),
    "one layer, smeared keys": ("smeared keys alone", 1, "code"),
    "one layer, neither": ("nothing of order", 1, "code"),
    "one layer, smeared keys and positions": ("smeared keys", 1, "code"),
    "two layers": ("first-layer positions", 2, "code"),
    "rotary positions": ("rotary positions", 2, "code"),
    "fixed copies": ("first-layer positions", 2, "fixed"),
    "varied copies": ("first-layer positions", 2, "varied"),
    "fixed copies, rotary positions": ("rotary positions", 2, "fixed"),
    "fixed copies, learned positions": ("learned positions", 2, "fixed"),
    "fixed copies, smeared keys": ("smeared keys alone", 2, "fixed"),
    "varied copies, rotary positions": ("rotary positions", 2, "varied"),
    "varied copies, rotary and a constant": ("rotary and a constant", 2, "varied"),
    "varied copies, rotary in layer 0": ("rotary, first layer", 2, "varied"),
    "varied copies, rotary and a constant in layer 0": ("rotary and a constant, first layer", 2, "varied"),
    "varied copies, learned positions": ("learned positions", 2, "varied"),
}

RECIPE = dataclasses.replace(LIVE, n_ctx=256, batch=2)  # half the time of the live one: longer windows, fewer at once


def copied(
    rows: Int[np.ndarray, "window pos"], lengths: Int[np.ndarray, " window"]
) -> Int[np.ndarray, "window pos"]:  # fmt: skip
    """Rows that say the first tokens after `<BOS>` again and again: as many of them as their length."""
    places = np.arange(rows.shape[1] - 1) % lengths[:, None]
    said = np.take_along_axis(rows[:, 1:], places, axis=1)
    return np.concatenate([rows[:, :1], said], axis=1)


def texts(text: Text, seed: int) -> dict[str, Text]:
    """The code as it is; each window a copy of its first `FIXED` tokens; and copies of `SHORTEST` to 128 tokens."""
    n = len(text.rows)
    varied = np.random.default_rng(seed).integers(SHORTEST, RECIPE.n_ctx // 2 + 1, n)
    lengths = {"fixed": np.full(n, FIXED), "varied": varied}
    return {"code": text} | {
        name: dataclasses.replace(text, rows=copied(text.rows, each)) for name, each in lengths.items()
    }


def recipe_of(name: str, seed: int) -> Recipe:
    """The live recipe, with this run's depth and seed."""
    return dataclasses.replace(RECIPE, n_layers=RUNS[name][1], network=RUNS[name][0], seed=seed)


def untrained(name: str, seed: int) -> PaperModel:
    """The network of a run before its first step."""
    recipe = recipe_of(name, seed)
    return ALL_NETWORKS[recipe.network](config(**recipe.shape), seed)


def file_of(folder: Path, name: str, seed: int) -> Path:
    """Where the snapshots of a run are."""
    return folder / f"{name.replace(' ', '-').replace(',', '')}-{seed}.safetensors"


def steps_of(name: str) -> int:
    """After how many steps a run is left."""
    return STEPS if RUNS[name][2] == "code" else COPYING_STEPS


def train(name: str, seed: int, text: Text, folder: Path) -> None:
    """One run; its snapshots, in float16, in one file."""
    model, kept = untrained(name, seed), {}
    run = LiveRun(recipe_of(name, seed), texts(text, seed)[RUNS[name][2]], model=model)
    while True:
        if run.step % EVERY == 0:
            for key, p in model.named_parameters():
                if p.requires_grad:
                    kept[f"{run.step}.{key}"] = p.detach().half()
        if run.step >= steps_of(name):
            break
        run.advance()
    print(f"{name}, seed {seed}: {run.seconds:.0f} s", flush=True)
    file_of(folder, name, seed).write_bytes(save(kept))


def snapshots(name: str, seed: int, folder: Path, every: int = EVERY) -> Iterator[tuple[int, PaperModel]]:
    """The model of a run at every so many steps, from the first on."""
    stored = load(file_of(folder, name, seed).read_bytes())
    for step in sorted({int(key.partition(".")[0]) for key in stored}):
        if step % every == 0 and step <= steps_of(name):
            model = untrained(name, seed)
            here = {key.partition(".")[2]: t.float() for key, t in stored.items() if key.startswith(f"{step}.")}
            model.load_state_dict(here, strict=False)
            yield step, model.eval().requires_grad_(False)


def main() -> None:
    """Train every run that is not in the folder yet."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training.causes", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    text = read_text(RECIPE)
    for seed in SEEDS:
        for name in RUNS:
            if not file_of(folder, name, seed).exists():
                train(name, seed, text, folder)


if __name__ == "__main__":
    main()
