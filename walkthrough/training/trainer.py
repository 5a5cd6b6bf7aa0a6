"""From rows of tokens to a model with its card.

Muon on the attention matrices, Adam on the embedding and the unembedding, and batches of few sequences: what
counts for induction heads to form is the number of steps more than that of tokens.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from jaxtyping import Float, Int
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from walkthrough import corpus
from walkthrough.behaviour import measure
from walkthrough.models import PaperModel, bridge, config, read_card
from walkthrough.training.checkpoints import checkpoint_file, load_checkpoint, read_checkpoint, save_checkpoint
from walkthrough.training.forward import final_stream
from walkthrough.training.muon import Muon
from walkthrough.training.precision import speedup_of_bfloat16
from walkthrough.training.recipes import Recipe, batch_rows
from walkthrough.training.variants import NETWORKS

# The logits of 256 tokens fit into a processor's cache; older versions of torch make them all at once. Few logits fit
# there anyway, and are faster so.
MANY = 1_000_000
CHUNKED = nn.LinearCrossEntropyOptions(batch_chunk_size=256) if hasattr(nn, "LinearCrossEntropyOptions") else None


class Loss(nn.Module):
    """Rows of tokens to mean cross-entropy in nats: one module, so that accelerate can wrap all of it."""

    def __init__(self, model: PaperModel, bf16: bool):
        super().__init__()
        self.model, self.bf16 = model, bf16
        self.silent: set[tuple[int, int]] = set()  # heads that add nothing (`walkthrough.training.live`)

    def forward(self, rows: Int[Tensor, "batch pos"]) -> Float[Tensor, ""]:
        following = rows[:, 1:].flatten()
        many = following.numel() * self.model.head.out_features > MANY
        if many and not self.bf16 and CHUNKED is not None:
            resid = final_stream(self.model, rows[:, :-1], self.silent).flatten(0, 1)
            return nn.functional.linear_cross_entropy(resid, self.model.head.weight, following, options=CHUNKED)
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.model.head(final_stream(self.model, rows[:, :-1], self.silent))
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), following)


def optimisers(model: PaperModel, recipe: Recipe) -> dict[str, torch.optim.Optimizer]:
    """Muon for every attention matrix, Adam for what reads and writes tokens, and all else that is learnt."""
    attention = [p for p in model.layers.parameters() if p.requires_grad and p.ndim == 2]
    taken = {id(p) for p in attention}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
    built = {"adam": torch.optim.Adam(rest, lr=recipe.adam_lr, betas=(0.9, 0.98), fused=True)}
    if attention:
        built["muon"] = Muon(attention, lr=recipe.muon_lr)
    return built


def accelerator() -> Accelerator:
    """As many processes and devices as it was launched with; precision and compiler are the recipe's, not a setting's."""
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no", dynamo_backend="no")


def settled(name: str, recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its precision decided and told: that of the run in `folder`, else the faster one on this processor."""
    if recipe.bf16 is not None:
        return recipe
    accelerate, checkpoint = accelerator(), checkpoint_file(folder, name)
    if checkpoint.exists():
        bf16 = json.loads(read_checkpoint(checkpoint)[0]["identity"])["recipe"]["bf16"]
        why = "as the run that it goes on with"
    else:
        speedup = speedup_of_bfloat16(accelerate.device)
        bf16, why = speedup > 1, f"bfloat16 is {speedup:.2g} times as fast on this processor"
    bf16 = broadcast_object_list([bf16])[0]  # what the first process found holds for all
    accelerate.print(f"{name} trains in {'bfloat16' if bf16 else 'float32'}: {why}")
    return dataclasses.replace(recipe, bf16=bf16)


def train(name: str, recipe: Recipe, folder: Path) -> PaperModel:
    """Train until the recipe's last step, from the last checkpoint in `folder` if there is one.

    Raises FileExistsError rather than overwrite a finished model, and ValueError if the batch cannot be divided
    among the processes or a checkpoint belongs to another run.
    """
    if (folder / f"{name}.json").exists():
        raise FileExistsError(f"{name} is finished in {folder}: give another folder, or delete its model card first")
    recipe, accelerate = settled(name, recipe, folder), accelerator()
    if recipe.batch % accelerate.num_processes:
        raise ValueError(
            f"a batch of {recipe.batch} sequences cannot be shared equally by {accelerate.num_processes} processes"
        )
    with accelerate.main_process_first():
        manifest = corpus.build(folder / "corpus", recipe.d_vocab, recipe.n_ctx)
    rows = np.load(folder / "corpus" / "train.npy", mmap_mode="r")
    model = NETWORKS[recipe.network](config(**recipe.shape), recipe.seed).to(accelerate.device)
    opts = optimisers(model, recipe)
    identity = {"recipe": dataclasses.asdict(recipe), "corpus": manifest["sha256"]}
    checkpoint = checkpoint_file(folder, name)
    start = load_checkpoint(checkpoint, model, opts, identity)
    loss_of = accelerate.prepare(Loss(model, recipe.bf16))
    share = slice(accelerate.process_index, None, accelerate.num_processes)
    tokens = recipe.batch * recipe.n_ctx
    bar = tqdm(
        total=recipe.steps * tokens, initial=start * tokens, unit="tok", unit_scale=True, desc=name,
        disable=not accelerate.is_main_process,
    )  # fmt: skip
    for step in range(start, recipe.steps):
        for kind, peak in (("adam", recipe.adam_lr), ("muon", recipe.muon_lr)):
            if kind in opts:
                opts[kind].param_groups[0]["lr"] = peak * recipe.lr_factor(step)
        batch = torch.from_numpy(rows[np.sort(batch_rows(len(rows), recipe, step)[share])].astype(np.int64))
        loss = loss_of(batch.to(accelerate.device))
        model.zero_grad(set_to_none=True)
        accelerate.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in opts.values():
            optimiser.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        bar.update(tokens)
        if (step + 1) % recipe.checkpoint_every == 0 and accelerate.is_main_process:
            save_checkpoint(checkpoint, model, opts, step + 1, identity)
    bar.close()
    return model


def write_model(name: str, recipe: Recipe, folder: Path, model: PaperModel) -> None:
    """Weights (rounded to float16, as they ship), tokenizer and card; what the card says is measured on that file.

    `recipe` is the settled one, whose precision the card tells.
    """
    shutil.copy(folder / "corpus" / "tokenizer.json", folder / "tokenizer.json")
    weights = folder / f"{name}.safetensors"
    weights.write_bytes(save({key: p.cpu().half() for key, p in model.named_parameters() if p.requires_grad}))
    shipped = PaperModel(config(**recipe.shape))
    shipped.load_state_dict({key: t.float() for key, t in load(weights.read_bytes()).items()}, strict=False)
    held_out = corpus.held_out(
        Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8")), n_ctx=recipe.n_ctx
    )[::16]
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
        "corpus": json.loads((folder / "corpus" / "manifest.json").read_text(encoding="utf-8")),
    }  # fmt: skip
    partial = folder / f"{name}.json.partial"  # the card says that the model is finished: all of it or none
    partial.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, folder / f"{name}.json")
    checkpoint_file(folder, name).unlink(missing_ok=True)
