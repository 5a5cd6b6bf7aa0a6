"""How an induction head tells the right key from the others: the terms of its scores, weighed by what they do there."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, paths
from walkthrough.architecture import ADDED, SCORING, STREAM, leaves_out
from walkthrough.interventions import Head
from walkthrough.two_layers.composition import advantage, check_pair


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
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


@leaves_out(*STREAM, *ADDED, *SCORING)
def term_advantages(
    model, tokens: Int[Tensor, "batch pos"], length: int, head: Head
) -> dict[tuple[str, str], Float[Tensor, " batch"]]:
    """`composition.advantage` of each term of a head's scores, by what its query and its key read: "tokens", "positions", "0:3", …"""
    terms = paths.attention_score_terms(model, tokens, *head)
    return {pair: advantage(scores, length) for pair, scores in terms.items()}


def score_per_prompt(
    pattern: Float[Tensor, "batch head query key"], length: int
) -> Float[Tensor, "batch head"]:  # fmt: skip
    """`behaviour.prefix_matching_score` of each prompt by itself, for its spread."""
    return torch.stack([behaviour.prefix_matching_score(one[None], length) for one in pattern])
