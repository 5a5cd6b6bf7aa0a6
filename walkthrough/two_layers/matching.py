"""How an induction head tells the right key from the others: the terms of its scores, weighed by what they do there."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, paths
from walkthrough.interventions import Head
from walkthrough.two_layers.composition import advantage, check_pair
from walkthrough.two_layers.induction import match_gain


def two_token_circuit(model, query_head: Head, key_head: Head, later: Head):
    """How much `later`, from queries of one head (row), looks for keys of another (column).

    The W of the term A ⊗ A ⊗ W, a FactoredMatrix [d_vocab d_vocab], divided by the square root of
    d_head. Heads are (layer, head). Raises ValueError unless both are in an earlier layer.
    """
    check_pair(model, query_head, later)
    check_pair(model, key_head, later)
    queries = model.W_E @ model.OV[query_head]
    keys = model.W_E @ model.OV[key_head]
    return queries @ model.QK[later] @ keys.T * model.cfg.d_head**-0.5


def term_advantages(
    model, tokens: Int[Tensor, "batch pos"], length: int, head: Head
) -> dict[tuple[str, str], Float[Tensor, " batch"]]:
    """`composition.advantage` of each term of a head's scores, by what its query and its key read: "tokens", "positions", "0:3", …"""
    terms = paths.attention_score_terms(model, tokens, *head)
    return {pair: advantage(scores, length) for pair, scores in terms.items()}


def weighted_gains(
    model, tokens: Int[Tensor, "batch pos"], length: int, head: Head
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """For each pair of what query and key of a head of layer 1 read: match gain; the same weighted; true advantage.

    The match gain supposes that both heads of layer 0 look at one token each. The weighted one multiplies it by how often
    the two find equal tokens: by the advantage, on these tokens, of A same Aᵀ, where `same` is 1 for equal tokens.
    """
    embed, pattern = model.W_E, model.run_with_cache(tokens)[1]["pattern", 0]
    parts: dict[str, Any] = {"tokens": (embed, torch.eye(tokens.shape[1]).expand(len(tokens), -1, -1))}
    for early in range(model.cfg.n_heads):
        parts[f"0:{early}"] = (embed @ model.W_V[0, early] @ model.W_O[0, early], pattern[:, early])
    same = (tokens[:, :, None] == tokens[:, None]).to(pattern)
    true = term_advantages(model, tokens, length, head)
    found = {}
    for query, (of_query, A_query) in parts.items():
        for key, (of_key, A_key) in parts.items():
            gain = match_gain(of_query @ model.QK[head] @ of_key.T) * model.cfg.d_head**-0.5
            weight = advantage(A_query @ same @ A_key.mT, length).mean().item()
            found[query, key] = (gain, gain * weight, true[query, key].mean().item())
    return found


def score_per_prompt(
    pattern: Float[Tensor, "batch head query key"], length: int
) -> Float[Tensor, "batch head"]:  # fmt: skip
    """`behaviour.prefix_matching_score` of each prompt by itself, for its spread."""
    return torch.stack([behaviour.prefix_matching_score(one[None], length) for one in pattern])
