"""The exercises of notebook 00."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def random_logits() -> list[tuple[Tensor]]:
    """Three small tables of logits in which no two answers agree by accident."""
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(5, 11, generator=generator),) for _ in range(3)]


def logits_and_tokens() -> list[tuple[Tensor, Tensor]]:
    """Logits for five positions, and the tokens: `<BOS>` and four more."""
    generator = torch.Generator().manual_seed(1)
    return [
        (2 * torch.randn(5, 11, generator=generator), torch.randint(1, 11, (5,), generator=generator)) for _ in range(3)
    ]


def random_patterns() -> list[tuple[Tensor]]:
    """Causal attention patterns of three heads."""
    scores = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(2))
    return [(scores.masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf).softmax(-1),)]


def head_weights() -> list[tuple[Tensor, Tensor]]:
    """W_V and W_O of a head of 3 dimensions in a stream of 7."""
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(7, 3, generator=generator), torch.randn(3, 7, generator=generator))]


def losses_one_by_one(logits: Float[Tensor, "pos d_vocab"], tokens: Int[Tensor, " pos"]) -> list[float]:
    """Minus the logarithm of the probability that each position gives to the token after it."""
    probabilities = [row.double().exp() / row.double().exp().sum() for row in logits]
    return [-probabilities[i][tokens[i + 1]].log().item() for i in range(len(tokens) - 1)]


def bos_attention_one_by_one(pattern: Float[Tensor, "head query key"]) -> list[float]:
    """For each head, the mean over the queries after the first of what they pay to position 0."""
    return [sum(head[i, 0].item() for i in range(1, len(head))) / (len(head) - 1) for head in pattern]


def apply_to_each_unit_vector(W_V: Float[Tensor, "d_model d_head"], W_O: Float[Tensor, "d_head d_model"]) -> Tensor:
    """The matrix whose columns are what the head writes when it reads each unit vector of the stream."""
    return torch.stack([unit @ W_V @ W_O for unit in torch.eye(len(W_V))], dim=1)


EXERCISES: dict[str, Exercise] = {
    "0.1": Exercise(
        cases=random_logits,
        oracle=lambda logits: max(range(logits.shape[1]), key=lambda token: logits[-1, token]),
        mistakes={
            "that is the prediction at <BOS>, the first position: the next token is predicted at the last one": (
                lambda logits: logits[0].argmax()
            ),
            "one prediction for each position: only the last one is asked for": lambda logits: logits.argmax(-1),
            "that is the likeliest position for each token: the argmax is over the wrong axis": (
                lambda logits: logits.argmax(0)
            ),
            "that is the least likely token: did you minimise?": lambda logits: logits[-1].argmin(),
            "that counts positions and tokens together: take the last row before the argmax": (
                lambda logits: logits.argmax()
            ),
        },
    ),
    "0.2": Exercise(
        cases=logits_and_tokens,
        oracle=losses_one_by_one,
        mistakes={
            "off by one: position i predicts token i + 1, and you scored it on token i": lambda logits, tokens: (
                -logits.log_softmax(-1)[torch.arange(5), tokens][1:]
            ),
            "off by one: you scored each position on the very token it reads, <BOS> included": lambda logits, tokens: (
                -logits.log_softmax(-1)[torch.arange(5), tokens]
            ),
            "softmax over the wrong axis: each position's probabilities over the vocabulary must sum to 1": (
                lambda logits, tokens: -logits.log_softmax(0)[torch.arange(4), tokens[1:]]
            ),
            "those are logits, not log-probabilities: a softmax is missing": lambda logits, tokens: (
                -logits[torch.arange(4), tokens[1:]]
            ),
            "those are probabilities: take minus their logarithm": lambda logits, tokens: logits.softmax(-1)[
                torch.arange(4), tokens[1:]
            ],
            "that is the mean over positions: one loss for each position is asked for": lambda logits, tokens: (
                -logits.log_softmax(-1)[torch.arange(4), tokens[1:]].mean()
            ),
            "in bits: use the natural logarithm for nats": lambda logits, tokens: (
                -logits.log_softmax(-1)[torch.arange(4), tokens[1:]] / torch.tensor(2.0).log()
            ),
        },
    ),
    "0.3": Exercise(
        cases=random_patterns,
        oracle=bos_attention_one_by_one,
        mistakes={
            "you counted <BOS> itself: its own query has nowhere else to look, so leave query 0 out": (
                lambda pattern: pattern[:, :, 0].mean(-1)
            ),
            "transposed: that is what the first query pays; keys, which are looked at, are the last axis": (
                lambda pattern: pattern[:, 0, 1:].mean(-1)
            ),
            "that is position 1: <BOS> is at position 0": lambda pattern: pattern[:, 1:, 1].mean(-1),
            "averaged over heads as well: one number for each head is asked for": (
                lambda pattern: pattern[:, 1:, 0].mean()
            ),
            "that is one number for each query: average over the queries, not over the heads": (
                lambda pattern: pattern[:, 1:, 0].mean(0)
            ),
            "that is the sum over queries: take the mean": lambda pattern: pattern[:, 1:, 0].sum(-1),
        },
    ),
    "0.4": Exercise(
        cases=head_weights,
        oracle=apply_to_each_unit_vector,
        mistakes={
            "transposed: `W_V @ W_O` acts on rows; the paper's W_OV acts on columns": lambda W_V, W_O: W_V @ W_O,
            "wrong order: that is d_head by d_head, and what is asked for is d_model by d_model": (
                lambda W_V, W_O: W_O @ W_V
            ),
        },
    ),
}
