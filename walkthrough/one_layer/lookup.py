"""A one-layer model written out as tables, and predictions that only look things up in them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import SCORING, STREAM, leaves_out
from walkthrough.circuits import ov_circuit
from walkthrough.models import head_weights

SCORES = "token_token", "token_pos", "pos_token", "pos_pos"  # a head's tables of attention scores: query, then key


@leaves_out(*STREAM, *SCORING, "value_biases", "positions", "logits")
def head_tables(model, head: int) -> dict[str, Tensor]:
    """All of one head written out: the four tables of SCORES, divided by √d_head, and "logits", [d_vocab d_vocab]."""
    W_Q, W_K, _, _ = head_weights(model, 0, head)
    sides = {"token": model.W_E, "pos": model.W_pos}
    scores = {f"{q}_{k}": sides[q] @ W_Q @ (sides[k] @ W_K).T / model.cfg.d_head**0.5 for q in sides for k in sides}
    return scores | {"logits": ov_circuit(model, 0, head).AB}


def look_up(
    tables: dict[str, Tensor], tokens: Int[Tensor, "batch pos"], using: tuple[str, ...] = SCORES, hard: bool = False
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits that one head adds, by indexing its tables: exact if all are used, beside the direct (W_E W_U)[tokens].

    `using` names the tables of scores that count; if `hard`, a query reads only the token that it attends to most.
    """
    pos = torch.arange(tokens.shape[1])
    query, key = {"token": tokens[:, :, None], "pos": pos[:, None]}, {"token": tokens[:, None], "pos": pos[None]}
    scores = torch.zeros(*tokens.shape, len(pos)).masked_fill(pos > pos[:, None], -torch.inf)
    for name, (of_query, of_key) in ((name, name.split("_")) for name in using):
        scores = scores + tables[name][query[of_query], key[of_key]]
    pattern = torch.eye(len(pos)).to(scores)[scores.argmax(-1)] if hard else scores.softmax(-1)
    return pattern @ tables["logits"][tokens]
