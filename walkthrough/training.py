"""The trainer: `python -m walkthrough.training two-layer`, alone or under `accelerate launch`.

Muon on the attention matrices, Adam on the embedding and the unembedding, and batches of few sequences: what
counts for induction heads to form is the number of steps more than that of tokens.
"""

import argparse
import dataclasses
import functools
import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from walkthrough import corpus
from walkthrough.behaviour import measure
from walkthrough.models import PaperModel, bridge, config, read_card


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a training run depends on. `batch` counts sequences over all processes; learning rates are the peaks."""

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
    bf16: bool = True
    seed: int = 0
    checkpoint_every: int = 500

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


class Loss(nn.Module):
    """Rows of tokens to mean cross-entropy in nats: one module, so that accelerate can wrap all of it."""

    def __init__(self, model: PaperModel, bf16: bool):
        super().__init__()
        self.model, self.bf16 = model, bf16

    def forward(self, rows: Int[Tensor, "batch pos"]) -> Float[Tensor, ""]:
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.model(rows[:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())


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


def optimisers(model: PaperModel, recipe: Recipe) -> dict[str, torch.optim.Optimizer]:
    """Adam for what reads and writes tokens, Muon for every attention matrix."""
    rest = [model.tok_embed.weight, model.head.weight]
    built = {"adam": torch.optim.Adam(rest, lr=recipe.adam_lr, betas=(0.9, 0.98), fused=True)}
    attention = [p for p in model.layers.parameters() if p.requires_grad]
    if attention:
        built["muon"] = torch.optim.Muon(attention, lr=recipe.muon_lr, weight_decay=0.0)
    return built


def checkpoint_file(folder: Path, name: str) -> Path:
    """Where a run that is not finished is kept."""
    return folder / f"{name}.checkpoint.safetensors"


def save_checkpoint(file: Path, model: PaperModel, opts: dict, step: int, identity: dict) -> None:
    """Everything the next step depends on, as tensors; written beside the old one, then put in its place at once."""
    tensors = {f"model.{name}": p for name, p in model.named_parameters()}
    for kind, optimiser in opts.items():
        for i, state in optimiser.state_dict()["state"].items():
            tensors |= {f"{kind}.{i}.{key}": value for key, value in state.items()}
    partial = file.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step), "identity": json.dumps(identity, sort_keys=True)})
    os.replace(partial, file)


def load_checkpoint(file: Path, model: PaperModel, opts: dict, identity: dict) -> int:
    """Restore a run in place and return the step that comes next; 0 if there is no checkpoint yet.

    Raises ValueError if the checkpoint belongs to another recipe or another corpus.
    """
    if not file.exists():
        return 0
    with safe_open(file, "pt") as stored:
        metadata, tensors = stored.metadata(), {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    if metadata["identity"] != json.dumps(identity, sort_keys=True):
        raise ValueError(f"{file} was written by another recipe or corpus: give another folder, or delete it")
    model.load_state_dict({key[6:]: t for key, t in tensors.items() if key.startswith("model.")}, strict=False)
    for kind, optimiser in opts.items():
        state: dict[int, dict] = {}
        for key, tensor in tensors.items():
            owner, _, rest = key.partition(".")
            if owner == kind:
                index, name = rest.split(".")
                state.setdefault(int(index), {})[name] = tensor
        optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    return int(metadata["step"])


def train(name: str, recipe: Recipe, folder: Path) -> PaperModel:
    """Train until the recipe's last step, from the last checkpoint in `folder` if there is one.

    Raises FileExistsError rather than overwrite a finished model, and ValueError if the batch cannot be divided
    among the processes or a checkpoint belongs to another run.
    """
    if (folder / f"{name}.json").exists():
        raise FileExistsError(f"{name} is finished in {folder}: give another folder, or delete its model card first")
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    if recipe.batch % accelerator.num_processes:
        raise ValueError(
            f"a batch of {recipe.batch} sequences cannot be shared equally by {accelerator.num_processes} processes"
        )
    with accelerator.main_process_first():
        manifest = corpus.build(folder / "corpus", recipe.d_vocab, recipe.n_ctx)
    rows = np.load(folder / "corpus" / "train.npy", mmap_mode="r")
    model = PaperModel(config(**recipe.shape), recipe.seed).to(accelerator.device)
    opts = optimisers(model, recipe)
    identity = {"recipe": dataclasses.asdict(recipe), "corpus": manifest["sha256"]}
    checkpoint = checkpoint_file(folder, name)
    start = load_checkpoint(checkpoint, model, opts, identity)
    loss_of = accelerator.prepare(Loss(model, recipe.bf16))
    share = slice(accelerator.process_index, None, accelerator.num_processes)
    tokens = recipe.batch * recipe.n_ctx
    bar = tqdm(
        total=recipe.steps * tokens, initial=start * tokens, unit="tok", unit_scale=True, desc=name,
        disable=not accelerator.is_main_process,
    )  # fmt: skip
    for step in range(start, recipe.steps):
        for kind, peak in (("adam", recipe.adam_lr), ("muon", recipe.muon_lr)):
            if kind in opts:
                opts[kind].param_groups[0]["lr"] = peak * recipe.lr_factor(step)
        batch = torch.from_numpy(rows[np.sort(batch_rows(len(rows), recipe, step)[share])].astype(np.int64))
        loss = loss_of(batch.to(accelerator.device))
        model.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in opts.values():
            optimiser.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        bar.update(tokens)
        if (step + 1) % recipe.checkpoint_every == 0 and accelerator.is_main_process:
            save_checkpoint(checkpoint, model, opts, step + 1, identity)
    bar.close()
    return model


def write_model(name: str, recipe: Recipe, folder: Path, model: PaperModel) -> None:
    """Weights (rounded to float16, as they ship), tokenizer and card; what the card says is measured on that file."""
    shutil.copy(folder / "corpus" / "tokenizer.json", folder / "tokenizer.json")
    weights = folder / f"{name}.safetensors"
    save_file({key: p.cpu().half() for key, p in model.named_parameters() if p.requires_grad}, weights)
    shipped = PaperModel(config(**recipe.shape))
    shipped.load_state_dict({key: t.float() for key, t in load_file(weights).items()}, strict=False)
    held_out = corpus.held_out(Tokenizer.from_file(str(folder / "tokenizer.json")), n_ctx=recipe.n_ctx)[::16]
    untrained = PaperModel(config(**recipe.shape), recipe.seed + 1)
    measured = measure(bridge(shipped), held_out)
    control = measured if name == "one-layer" else None
    if control is None and (folder / "one-layer.json").exists():
        control = read_card("one-layer", folder)["measured"]
    card = {
        "name": name, "config": recipe.shape, "recipe": dataclasses.asdict(recipe), "seed": recipe.seed,
        "steps": recipe.steps, "tokens": recipe.steps * recipe.batch * recipe.n_ctx,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "measured": measured,
        "random_weights": measure(bridge(untrained), held_out),
        "one_layer_control": control,
        "corpus": json.loads((folder / "corpus" / "manifest.json").read_text()),
    }  # fmt: skip
    partial = folder / f"{name}.json.partial"  # the card says that the model is finished: all of it or none
    partial.write_text(json.dumps(card, indent=1) + "\n")
    os.replace(partial, folder / f"{name}.json")
    checkpoint_file(folder, name).unlink(missing_ok=True)


def main() -> None:
    """The command line: which model, and the folder for corpus, checkpoints and the finished model."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training", description=main.__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--folder", type=Path, default=Path("trained"))
    parser.add_argument("--steps", type=int, help="fewer or more steps than the recipe's")
    parser.add_argument("--float32", action="store_true", help="for processors that have no bfloat16 instructions")
    arguments = parser.parse_args()
    recipe = dataclasses.replace(RECIPES[arguments.name], bf16=not arguments.float32)
    if arguments.steps:
        recipe = dataclasses.replace(recipe, steps=arguments.steps)
    try:
        model = train(arguments.name, recipe, arguments.folder)
        if PartialState().is_main_process:
            write_model(arguments.name, recipe, arguments.folder, model)
    except (FileExistsError, ValueError, ModuleNotFoundError) as refusal:
        parser.exit(1, f"{refusal}\n")


if __name__ == "__main__":
    main()
