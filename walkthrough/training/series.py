"""The recorded run: training that is looked at every few steps, of which some checkpoints are kept.

`python -m walkthrough.training.series FOLDER` trains two layers from three seeds and one layer as a control, and writes
there what `walkthrough.two_layers.forming` reads, in about six minutes on one idle core. A run that is finished stays in
the folder, so that the command goes on where it was stopped.
"""

import argparse
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load, save
from torch import Tensor

from walkthrough import corpus, models
from walkthrough.training.live import LiveRun, Text, read_text, writable
from walkthrough.training.recipes import LIVE, Recipe
from walkthrough.training.variants import NETWORKS
from walkthrough.two_layers.forming import SEEDS, measured

EVERY = 50  # steps between two looks
RUNS = [("two-layer", SEEDS[0]), ("one-layer", SEEDS[0]), *(("two-layer", seed) for seed in SEEDS[1:])]
KEPT = 24  # checkpoints of the first seed; the control is kept `around` the transition of the two layers
ROWS = 256  # held-out windows, evenly spaced in the package that is held out
EARLIEST = 100  # steps: what happens before counts little in the choice of checkpoints


def spread(curves: Float[Tensor, "time curve"], count: int) -> list[int]:
    """`count` times, the first and the last among them, between which all curves rise by amounts as equal as can be.

    Each curve is replaced by its highest value so far, and stretched to run from 0 to 1. So the times are dense where
    much changes, and the choice depends on nothing else.
    """
    best = curves.cummax(0).values
    walked = ((best - best[0]) / (best[-1] - best[0]).clamp_min(1e-9)).sum(1)
    chosen = [0]
    for number in range(1, count):
        left = count - 1 - number
        reached = int(torch.searchsorted(walked, walked[-1] * number / (count - 1)))
        chosen.append(min(max(reached, chosen[-1] + 1), len(walked) - 1 - left))
    return chosen


def whom_to_keep(curves: dict[str, Tensor], count: int) -> list[int]:
    """Which of a run's looks to keep, by `spread` over the logarithm of steps, the loss, and the two highest head scores."""
    steps = (1 + curves["step"] / EARLIEST).log()
    heads = [curves[kind].flatten(1).max(1).values for kind in ("previous_token", "prefix_matching")]
    return spread(torch.stack([steps, -curves["text_loss"], *heads], 1), count)


def around(curves: dict[str, Tensor], looks: list[int]) -> list[int]:
    """Of the looks that are kept: the first, the last, and three that stand about the forming of the head.

    The last one at which the best prefix-matching score has not a tenth of what it has at the end, the first one from
    which on it has half, and the first one from which on it has nine tenths.
    """
    best = curves["prefix_matching"].flatten(1).max(1).values[looks]
    way = (best / best[-1]).tolist()
    from_then_on = [max((i for i, x in enumerate(way) if x < share), default=-1) + 1 for share in (0.5, 0.9)]
    above = next((i for i, x in enumerate(way) if x >= 0.1), 1)
    return sorted({looks[i] for i in (0, max(0, above - 1), *from_then_on, len(looks) - 1)})


def record(recipe: Recipe, text: Text, rows: Int[Tensor, "window pos"]) -> Iterator[tuple[dict, dict]]:
    """At every look, the weights as they would ship, in float16, and what is `measured` of those."""
    run = LiveRun(recipe, text)
    while True:
        weights = {key: p.detach().half() for key, p in run.model.named_parameters() if p.requires_grad}
        yield weights, look_at(weights, recipe, run.step, rows)
        if run.finished:
            return
        for _ in range(min(EVERY, recipe.steps - run.step)):
            run.advance()


def look_at(
    weights: dict[str, Tensor], recipe: Recipe, step: int, rows: Int[Tensor, "window pos"]
) -> dict[str, Tensor]:
    """What is `measured` of some weights, and when."""
    network = NETWORKS[recipe.network](models.config(**recipe.shape))  # a bridge's own names are others: load before
    network.load_state_dict({key: t.float() for key, t in weights.items()}, strict=False)
    tokens = torch.tensor(float(step * recipe.batch * recipe.n_ctx))
    return measured(models.bridge(network), rows) | {"step": torch.tensor(float(step)), "tokens": tokens}


def packed(curves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Three digits are enough for what is drawn; counts stay exact."""
    return {key: t if key in ("step", "tokens") else t.half() for key, t in curves.items()}


def run_of(name: str, seed: int, recipe: Recipe, text: Text, rows: Tensor, folder: Path) -> dict[str, Tensor]:
    """The curves of one run, and its weights at every look, `at.LOOK.NAME`: trained, or read if the folder has it.

    Every fourth of the rows is measured at each look. Raises ValueError if the folder has a run of another recipe or text.
    """
    file = folder / f"run-{name}-{seed}.safetensors"
    own = dataclasses.replace(recipe, n_layers=2 if name == "two-layer" else 1, seed=seed)
    identity = json.dumps({"recipe": dataclasses.asdict(own), "text": text.sha256, "every": EVERY})
    identity = torch.tensor(list(hashlib.sha256(identity.encode()).digest()), dtype=torch.uint8)
    if not file.exists():
        start = time.perf_counter()
        weights, looks = zip(*record(own, text, rows[::4].long()))
        kept = {f"at.{look}.{key}": t for look, each in enumerate(weights) for key, t in each.items()}
        curves = {key: torch.stack([look[key] for look in looks]) for key in looks[0]}
        file.write_bytes(save(kept | curves | {"identity": identity}))
        print(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    found = load(file.read_bytes())
    if not torch.equal(found.pop("identity"), identity):
        raise ValueError(f"{file} was written by another recipe or text: give another folder, or delete it")
    return found


def write(folder: Path, recipe: Recipe = LIVE) -> None:
    """Train, and write checkpoints, curves, held-out rows, tokenizer and, last, the card.

    Raises ValueError for a folder that cannot be written, and FileExistsError for one that holds a series.
    """
    if (writable(folder) / "card.json").exists():
        raise FileExistsError(f"there is a series in {folder} already: give another folder, or delete its card.json")
    text = read_text(recipe)
    every = corpus.held_out(text.tokenizer, ["email"], recipe.n_ctx)
    rows = every[torch.linspace(0, len(every) - 1, min(ROWS, len(every))).long()]
    files, steps, final = {"text.safetensors": {"held_out": rows.short()}, "curves.safetensors": {}}, {}, {}
    for name, seed in RUNS:
        found = run_of(name, seed, recipe, text, rows, folder)
        along = {key: t for key, t in found.items() if not key.startswith("at.")}
        files["curves.safetensors"] |= {f"{name}.{seed}.{key}": t for key, t in packed(along).items()}
        final[f"{name}, seed {seed}"] = {key: round(t[-1].item(), 4) for key, t in along.items() if t.ndim == 1}
        if seed == SEEDS[0]:
            if name == "two-layer":
                two_layers, looks = along, whom_to_keep(along, min(KEPT, len(along["step"])))
            else:
                looks = around(two_layers, looks)
            steps[name] = [int(along["step"][look]) for look in looks]
            files[f"{name}.safetensors"] = {
                f"{step}.{key.removeprefix(f'at.{look}.')}": t
                for look, step in zip(looks, steps[name])
                for key, t in found.items() if key.startswith(f"at.{look}.")
            }  # fmt: skip
    contents = {file: save(tensors) for file, tensors in files.items()}
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    text.tokenizer.save(str(folder / "tokenizer.json"))
    card = {
        "name": "forming", "recipe": dataclasses.asdict(recipe), "seeds": list(SEEDS), "steps": steps, "every": EVERY,
        "config": {"two-layer": recipe.shape, "one-layer": recipe.shape | {"n_layers": 1}},
        "tokens": recipe.steps * recipe.batch * recipe.n_ctx,
        "text": {"package": corpus.STDLIB, "version": corpus.version(corpus.STDLIB), "sha256": text.sha256,
                 "windows": len(text.rows)},
        "held_out": {"package": "email", "version": corpus.version("email"), "licence": "PSF-2.0", "windows": len(rows)},
        "sha256": {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        "measured": final,
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    for name, seed in RUNS:
        (folder / f"run-{name}-{seed}.safetensors").unlink()


def main() -> None:
    """The command line: where the series goes."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training.series", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=LIVE.steps, help="fewer or more than the shipped series has")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        write(arguments.folder, dataclasses.replace(LIVE, steps=arguments.steps))
    except (FileExistsError, ValueError) as refusal:
        parser.exit(1, f"{refusal}\n")


if __name__ == "__main__":
    main()
