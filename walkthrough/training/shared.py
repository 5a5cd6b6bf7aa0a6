"""A deep model whose layers are one and the same: a residual block and RMSNorm, applied again and again.

`python -m walkthrough.training.shared folder` trains it, and a live run as its control, on one core in about ten
minutes; it goes on where it was stopped, and leaves weights, tokenizer, held-out texts and card in the folder.
"""

import argparse
import copy
import dataclasses
import hashlib
import json
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors.torch import load, save
from torch import Tensor, nn

from walkthrough import corpus
from walkthrough.models import PaperModel, config, load_tokenizer
from walkthrough.training.live import LiveRun, Text, read_text
from walkthrough.training.recipes import LIVE, Recipe
from walkthrough.training.trainer import Loss

NAME = "shared-weights"
# The live run's rate for Muon is too much for a layer that is used twelve times: its loss rises again after 1,000 steps
SHARED = dataclasses.replace(LIVE, n_layers=12, muon_lr=5e-3, network="shared weights")
EVERY = 250  # steps between two checkpoints


class SharedWeights(PaperModel):
    """One layer of attention, applied `n_layers` times, with RMSNorm after each time and after the embedding.

    A step of the particle view (Geshkovski et al., arXiv 2312.10794, section 2): move each token a little, then put it
    back on its sphere, of radius the square root of d_model.
    """

    def __init__(self, cfg, seed: int = 0):
        super().__init__(cfg, seed)
        self.layers = nn.ModuleList([self.layers[0]] * cfg.n_layers)

    def entered(self, embedded: Tensor, positions: Tensor | None = None) -> Tensor:
        """The embedding, put on the sphere."""
        return nn.functional.rms_norm(embedded, embedded.shape[-1:])

    def between(self, resid: Tensor) -> Tensor:
        """The stream, put back on the sphere."""
        return nn.functional.rms_norm(resid, resid.shape[-1:])

    def written_out(self) -> "SharedWeights":
        """The same network with a copy of the layer for each time that it is used: TransformerLens needs them apart."""
        other = copy.deepcopy(self)
        other.layers = nn.ModuleList([copy.deepcopy(block) for block in self.layers])
        return other


def train(recipe: Recipe, text: Text, folder: Path) -> LiveRun:
    """A run to the recipe's last step, from the last checkpoint in the folder if there is one."""
    networks = {"shared weights": SharedWeights}
    model = networks[recipe.network](config(**recipe.shape), recipe.seed) if recipe.network in networks else None
    run = LiveRun(recipe, text, folder=folder, model=model)
    while not run.finished:
        loss = run.advance()
        if run.step % EVERY == 0 or run.finished:
            run.save()
            print(f"{recipe.network}, step {run.step}: {loss:.3f} nats, {run.seconds:.0f} s", flush=True)
    return run


def loss_of_shipped(model: PaperModel, stored: bytes, text: Text) -> float:
    """The held-out loss, in nats, of the weights as they are stored."""
    model.load_state_dict({key: t.float() for key, t in load(stored).items()}, strict=False)
    with torch.no_grad():
        return Loss(model, bf16=False)(text.held_out).item()


def held_out_texts(run: LiveRun, n: int = 8) -> dict[str, Int[Tensor, "text pos"]]:
    """Texts that no shipped model has read, in the tokens of the course's models and in the run's; they ship with the
    model.

    So they are the same on every computer, whatever its version of Python.
    """
    found = {}
    for name, tokenizer in (("course", load_tokenizer().backend_tokenizer), ("small", run.text.tokenizer)):
        rows = corpus.held_out(tokenizer, ["asyncio", "email"], run.recipe.n_ctx)
        found[name] = rows[:: len(rows) // n][:n, :-1].short().contiguous()
    return found


def write_shared(run: LiveRun, control: LiveRun, folder: Path) -> None:
    """Weights in float16, tokenizer, and a card that says what they are and what the control reaches."""
    weights = folder / f"{NAME}.safetensors"
    weights.write_bytes(save({key: p.detach().half() for key, p in run.model.named_parameters() if p.requires_grad}))
    fresh = SharedWeights(config(**run.recipe.shape), run.recipe.seed + 1)
    with torch.no_grad():
        random = Loss(fresh, bf16=False)(run.text.held_out).item()
    card = {
        "name": NAME, "config": run.recipe.shape, "recipe": dataclasses.asdict(run.recipe), "seed": run.recipe.seed,
        "steps": run.step, "tokens": run.tokens, "seconds": round(run.seconds),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "corpus": run.text.sha256,
        "measured": {"held_out_loss": loss_of_shipped(fresh, weights.read_bytes(), run.text)} | run.measure(),
        "random_weights": {"held_out_loss": random},
        "control": {"recipe": dataclasses.asdict(control.recipe), "held_out_loss": control.measure()["text_loss"]},
    }  # fmt: skip
    (folder / "texts.safetensors").write_bytes(save(held_out_texts(run)))
    (folder / "tokenizer.json").write_text(run.text.tokenizer.to_str(), encoding="utf-8")
    (folder / f"{NAME}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Train the shared model and its control, and write the model into the folder."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training.shared", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=SHARED.steps, help="fewer or more steps than the recipe's")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = read_text(SHARED)
    runs = [
        train(dataclasses.replace(recipe, steps=arguments.steps), text, arguments.folder / recipe.network.split()[0])
        for recipe in (SHARED, LIVE)
    ]
    write_shared(*runs, arguments.folder)


if __name__ == "__main__":
    main()
