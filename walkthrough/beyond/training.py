"""Training the two models that go beyond attention, with the trainer's parts: `python -m walkthrough.beyond.training`."""

import argparse
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from walkthrough import corpus
from walkthrough.behaviour import measure
from walkthrough.models import bridge, config, network
from walkthrough.training.checkpoints import checkpoint_file, load_checkpoint, save_checkpoint
from walkthrough.training.recipes import Recipe, batch_rows
from walkthrough.training.trainer import CHUNKED, optimisers


@dataclasses.dataclass(frozen=True)
class Beyond(Recipe):
    """A recipe with an MLP of `d_mlp` neurons or with LayerNorm; always in float32."""

    d_mlp: int | None = None
    layernorm: bool = False
    bf16: bool | None = False

    @property
    def shape(self) -> dict:
        """What `walkthrough.models.config` takes."""
        return super().shape | {"d_mlp": self.d_mlp, "layernorm": self.layernorm}


CONTROL = "one-layer-mlp-control"  # the same run without the MLP: trained for its loss, and not shipped
RECIPES = {
    "layernorm": Beyond(2, d_model=24, n_heads=3, batch=4, steps=4_000, layernorm=True),
    "one-layer-mlp": Beyond(1, d_model=128, n_heads=4, batch=4, steps=3_000, d_mlp=512),
    CONTROL: Beyond(1, d_model=128, n_heads=4, batch=4, steps=3_000),
}


def final_stream(model: nn.Module, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    """What W_U reads, for any network of `walkthrough.models`."""
    resid = model.tok_embed(tokens)
    if model.cfg.normalization_type is not None:
        resid = resid + model.pos.weight[: tokens.shape[1]]
    for block in model.layers:
        (resid,) = block(resid)
    return model.ln_out(resid)


def loss_on(model: nn.Module, rows: Int[Tensor, "batch pos_and_one"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of each next token, in nats."""
    resid, following = final_stream(model, rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()
    if CHUNKED is None:
        return nn.functional.cross_entropy(model.head(resid), following)
    return nn.functional.linear_cross_entropy(resid, model.head.weight, following, options=CHUNKED)


def train(name: str, recipe: Recipe, folder: Path) -> nn.Module:
    """Train to the recipe's last step, from the last checkpoint in `folder` if there is one.

    Raises ValueError if the checkpoint belongs to another recipe or corpus.
    """
    manifest = corpus.build(folder / "corpus", recipe.d_vocab, recipe.n_ctx)
    rows = np.load(folder / "corpus" / "train.npy", mmap_mode="r")
    model = network(config(**recipe.shape), recipe.seed)
    opts = optimisers(model, recipe)
    identity = {"recipe": dataclasses.asdict(recipe), "corpus": manifest["sha256"]}
    checkpoint = checkpoint_file(folder, name)
    start = load_checkpoint(checkpoint, model, opts, identity)
    bar = tqdm(range(start, recipe.steps), desc=name, mininterval=10)
    for step in bar:
        for kind, peak in (("adam", recipe.adam_lr), ("muon", recipe.muon_lr)):
            opts[kind].param_groups[0]["lr"] = peak * recipe.lr_factor(step)
        chosen = np.sort(batch_rows(len(rows), recipe, step))
        loss = loss_on(model, torch.from_numpy(rows[chosen].astype(np.int64)))
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in opts.values():
            optimiser.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % recipe.checkpoint_every == 0:
            save_checkpoint(checkpoint, model, opts, step + 1, identity)
    return model


def write_model(name: str, recipe: Recipe, folder: Path, model: nn.Module) -> None:
    """Weights rounded to float16, and a card; what the card says is measured on those weights."""
    shutil.copy(folder / "corpus" / "tokenizer.json", folder / "tokenizer.json")
    weights = folder / f"{name}.safetensors"
    weights.write_bytes(save({key: p.half() for key, p in model.named_parameters() if p.requires_grad}))
    shipped = network(config(**recipe.shape))
    shipped.load_state_dict({key: t.float() for key, t in load(weights.read_bytes()).items()}, strict=False)
    tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    held_out = corpus.held_out(tokenizer, n_ctx=recipe.n_ctx)[::16]
    card = {
        "name": name, "config": recipe.shape, "recipe": dataclasses.asdict(recipe), "seed": recipe.seed,
        "steps": recipe.steps, "tokens": recipe.steps * recipe.batch * recipe.n_ctx,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "measured": measure(bridge(shipped), held_out),
        "random_weights": measure(bridge(network(config(**recipe.shape), recipe.seed + 1)), held_out),
        "attention_only_control": None,
        "corpus": json.loads((folder / "corpus" / "manifest.json").read_text(encoding="utf-8")),
    }  # fmt: skip
    control = folder / f"{CONTROL}.json"
    if recipe.d_mlp and control.exists():
        card["attention_only_control"] = json.loads(control.read_text(encoding="utf-8"))["measured"]
    (folder / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """The command line: which model, and the folder for corpus, checkpoints and the finished model."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.training", description=main.__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--folder", type=Path, default=Path("trained"))
    parser.add_argument("--steps", type=int, help="fewer or more steps than the recipe's")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.name]
    if arguments.steps:
        recipe = dataclasses.replace(recipe, steps=arguments.steps)
    torch.set_flush_denormal(True)  # saturated attention patterns hold numbers that a processor is slow at
    write_model(arguments.name, recipe, arguments.folder, train(arguments.name, recipe, arguments.folder))


if __name__ == "__main__":
    main()
