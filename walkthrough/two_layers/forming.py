"""A run in which an induction head forms, recorded: its checkpoints, and what is measured of each.

`python -m walkthrough.training.series` made it. Two layers, and one layer as a control; positions enter layer 0 alone.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load as load_safetensors
from torch import Tensor

from walkthrough import behaviour, circuits, models
from walkthrough.architecture import SCORING, STREAM, bos, leaves_out
from walkthrough.training.variants import NETWORKS
from walkthrough.two_layers.composition import composition_scores, k_composed_circuit
from walkthrough.two_layers.in_context import completes_pair
from walkthrough.two_layers.induction import late_minus_early, losses

FOLDER = models.WEIGHTS / "forming"
NAMES = ("two-layer", "one-layer")
SEEDS = (0, 1, 2)
EARLY, LATE = (15, 30), (100, 128)  # positions: the stretches of `induction.late_minus_early`, for half the context
LENGTH, PROMPTS = 50, 16  # random tokens said twice, on which heads are measured, as in a live run


def stored(file: str, folder: Path = FOLDER) -> dict[str, Tensor]:
    """The tensors of one file of the series; ValueError if it is missing, or not the one that the card describes."""
    path, card = folder / file, read_card(folder)
    if not path.exists():
        raise ValueError(f"the file {file} of the series is missing from {folder}: install the course again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card["sha256"][file]:
        raise ValueError(
            f"the file {file} of the series is not the one that its card describes (their SHA-256 differ): it is damaged "
            "or was swapped, so it was not loaded; install the course again"
        )
    return load_safetensors(content)


def read_card(folder: Path = FOLDER) -> dict:
    """The series' card: recipe, text, steps, and the SHA-256 of each file; ValueError if there is none."""
    if not (folder / "card.json").exists():
        raise ValueError(f"the card of the series is missing from {folder}: install the course again")
    return json.loads((folder / "card.json").read_text(encoding="utf-8"))


@cache
def checkpoints(name: str = "two-layer", folder: Path = FOLDER) -> dict[int, models.TransformerBridge]:
    """All checkpoints of a run, as bridges by the step after which they were taken; ValueError for an unknown run."""
    if name not in NAMES:
        raise ValueError(f"the series has no run called {name!r}: its runs are {' and '.join(map(repr, NAMES))}")
    tensors, card, tokenizer = stored(f"{name}.safetensors", folder), read_card(folder), models.load_tokenizer(folder)
    made = {}
    for step in card["steps"][name]:
        network = NETWORKS[card["recipe"]["network"]](models.config(**card["config"][name]))
        here = {key.partition(".")[2]: t.float() for key, t in tensors.items() if key.startswith(f"{step}.")}
        network.load_state_dict(here, strict=False)
        made[step] = models.bridge(network, tokenizer, f"{name} after {step} steps")
    return made


def load(step: int, name: str = "two-layer", folder: Path = FOLDER) -> models.TransformerBridge:
    """One checkpoint of a run; ValueError for a step at which none was kept."""
    made = checkpoints(name, folder)
    if step not in made:
        raise ValueError(f"no checkpoint was kept after step {step}: those of {name} are {', '.join(map(str, made))}")
    return made[step]


def tokens_at(step: int, folder: Path = FOLDER) -> int:
    """How many tokens the run has learnt from after so many steps."""
    recipe = read_card(folder)["recipe"]
    return step * recipe["batch"] * recipe["n_ctx"]


def held_out(folder: Path = FOLDER) -> Int[Tensor, "window pos"]:
    """Rows of code that the run was not trained on, with `<BOS>` first; the same on every computer."""
    return stored("text.safetensors", folder)["held_out"].long()


def curves(seed: int = 0, name: str = "two-layer", folder: Path = FOLDER) -> dict[str, Float[Tensor, "time ..."]]:
    """What `measured` gave all along a run, and "step" and "tokens"; ValueError if the series has no such run."""
    tensors, start = stored("curves.safetensors", folder), f"{name}.{seed}."
    found = {key.removeprefix(start): t.float() for key, t in tensors.items() if key.startswith(start)}
    if not found:
        runs = sorted({key.rpartition(".")[0] for key in tensors})
        raise ValueError(f"the series has no curves of {name}.{seed}: it has those of {', '.join(runs)}")
    return found


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
@torch.no_grad()
def measured(model, rows: Int[Tensor, "window pos"]) -> dict[str, Tensor]:
    """One number, or one for each head or pair of heads, of all that this course measures of a forming head.

    Losses are in nats; scores of heads are [layer head], and those of pairs [write read], from layer 0 to layer 1.
    """
    text, again = losses(model, rows), completes_pair(rows)
    twice = behaviour.repeated_tokens(model.cfg.d_vocab, LENGTH, 2, PROMPTS, seed=1, bos=bos(model))
    logits, cache = model.run_with_cache(twice[:, :-1])
    copies = behaviour.loss_per_position(logits, twice)
    layers, heads = range(model.cfg.n_layers), range(model.cfg.n_heads)
    patterns = [cache["pattern", layer] for layer in layers]
    OVs = [[circuits.centred(circuits.ov_circuit(model, layer, head)) for head in heads] for layer in layers]
    found = {
        "text_loss": text.mean(),
        "again_loss": text[again].mean(),
        "new_loss": text[~again].mean(),
        "late_minus_early": late_minus_early(text, EARLY, LATE).mean(),
        "first_copy_loss": copies[:, :LENGTH].mean(),
        "second_copy_loss": copies[:, LENGTH:].mean(),
        "previous_token": torch.stack([behaviour.previous_token_score(p) for p in patterns]),
        "own_token": torch.stack([p.diagonal(dim1=-2, dim2=-1)[:, :, 2:].mean((0, -1)) for p in patterns]),
        "prefix_matching": torch.stack([behaviour.prefix_matching_score(p, LENGTH) for p in patterns]),
        "copying": torch.stack([torch.stack([circuits.eigenvalue_positivity(ov) for ov in row]) for row in OVs]),
        "own_logit": torch.stack([torch.stack([circuits.own_logit(ov).mean() for ov in row]) for row in OVs]),
    }
    return found | (between(model) if model.cfg.n_layers == 2 else {})


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def between(model) -> dict[str, Tensor]:
    """What the weights alone say of each pair of a head of layer 0 (write) and one of layer 1 (read).

    "K_gain" is the match gain of the term in which the query reads the token itself and the key what `write` wrote;
    "own_gain", [own write read], that in which the query reads what head `own` of layer 0 wrote of its own token.
    """
    heads = range(model.cfg.n_heads)
    K_terms = [[k_composed_circuit(model, (0, write), (1, read)) for read in heads] for write in heads]
    wrote = model.W_E @ model.W_V[0] @ model.W_O[0]  # [head d_vocab d_model]
    queries = torch.cat([model.W_E[None], wrote])
    W_QK = model.W_Q[1] @ model.W_K[1].mT / model.cfg.d_head**0.5
    centred = wrote - wrote.mean(1, keepdim=True)  # then the mean of the whole table drops out
    like = torch.einsum("qti,ktj->qkij", queries, centred) / model.cfg.d_vocab
    gains = torch.einsum("qkij,rij->qkr", like, W_QK)
    return {
        "K_composition": composition_scores(model, "K"),
        "Q_composition": composition_scores(model, "Q"),
        "K_positivity": torch.stack([torch.stack([circuits.eigenvalue_positivity(t) for t in row]) for row in K_terms]),
        "K_gain": gains[0],
        "own_gain": gains[1:],
    }


def winners(curves: dict[str, Tensor]) -> tuple[int, int]:
    """Of layer 0, the head that at the end has the highest previous-token score; of layer 1, the one that matches best."""
    previous, prefix = curves["previous_token"][-1, 0], curves["prefix_matching"][-1, 1]
    return int(previous.argmax()), int(prefix.argmax())


def parts(curves: dict[str, Tensor]) -> dict[str, Float[Tensor, " time"]]:
    """What an induction head is made of, and what it does, along a run: one curve each, of the `winners`.

    The own-token head is the head of layer 0 that at the end pays itself most. The match gain is that of the query as
    it is: of the token, and of what each head of layer 0 wrote of it, weighted by the attention it pays to itself.
    """
    note, match = winners(curves)
    own = curves["own_token"][:, 0]
    direct, through_own = curves["K_gain"][:, note, match], (own * curves["own_gain"][:, :, note, match]).sum(1)
    return {
        "copying: positivity": curves["copying"][:, 1, match],
        "own-token head": own[:, own[-1].argmax()],
        "previous-token head": curves["previous_token"][:, 0, note],
        "match: positivity": curves["K_positivity"][:, note, match],
        "match: composition score": curves["K_composition"][:, note, match],
        "match: gain": direct + through_own,
        "copying: own logit": curves["own_logit"][:, 1, match],
        "prefix matching": curves["prefix_matching"][:, 1, match],
        "gain from the first copy": curves["first_copy_loss"] - curves["second_copy_loss"],
    }
