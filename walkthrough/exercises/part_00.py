"""The exercises of notebook 00."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def random_logits() -> list[tuple[Tensor]]:
    """Small tables of logits of different lengths, in which no two answers agree by accident."""
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(length, 23, generator=generator),) for length in (5, 6, 7, 5)]


def head_weights() -> list[tuple[Tensor, Tensor]]:
    """W_V and W_O of a head of 3 dimensions in a stream of 7."""
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(7, 3, generator=generator), torch.randn(3, 7, generator=generator))]


def causal(scores: Tensor) -> Tensor:
    """Attention patterns from scores: a softmax over each query's own position and those before."""
    n_pos = scores.shape[-1]
    return scores.masked_fill(torch.ones(n_pos, n_pos).triu(1).bool(), -torch.inf).softmax(-1)


def batch_of_patterns() -> list[tuple[Tensor]]:
    """Causal attention patterns of three heads on four prompts of seven tokens."""
    return [(causal(torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(4))),)]


def logits_and_rows() -> list[tuple[Tensor, Tensor]]:
    """Logits of three prompts of four tokens, and the prompts with the token that follows each."""
    generator = torch.Generator().manual_seed(1)
    return [
        (2 * torch.randn(3, 4, 11, generator=generator), torch.randint(1, 11, (3, 5), generator=generator))
        for _ in range(2)
    ]


def apply_to_each_unit_vector(W_V: Float[Tensor, "d_model d_head"], W_O: Float[Tensor, "d_head d_model"]) -> Tensor:
    """The matrix whose columns are what the head writes when it reads each unit vector of the stream."""
    return torch.stack([unit @ W_V @ W_O for unit in torch.eye(len(W_V))], dim=1)


def previous_token_score_one_by_one(pattern: Float[Tensor, "batch head query key"]) -> list[float]:
    """For each head, the mean over prompts and over queries from 2 on of what they pay to the position before."""
    n_batch, n_heads, n_pos, _ = pattern.shape
    places = [(b, i) for b in range(n_batch) for i in range(2, n_pos)]
    return [sum(pattern[b, head, i, i - 1].item() for b, i in places) / len(places) for head in range(n_heads)]


def losses_one_by_one(
    logits: Float[Tensor, "batch pos d_vocab"], rows: Int[Tensor, "batch pos_and_one"]
) -> list[list[float]]:
    """Minus the logarithm of the probability that each position gives to the token after it."""
    losses = []
    for table, row in zip(logits.double().tolist(), rows.tolist()):
        sums = [sum(math.exp(logit) for logit in position) for position in table]
        losses.append([-math.log(math.exp(table[i][row[i + 1]]) / sums[i]) for i in range(len(table))])
    return losses


def picked(values: Tensor, tokens: Tensor) -> Tensor:
    """At each position, the value of that position's token."""
    return values.gather(-1, tokens[..., None]).squeeze(-1)


def back(pattern: Tensor, by: int, start: int) -> Tensor:
    """What each query from `start` on pays to the key `by` positions before it: [batch, head, query]."""
    query = torch.arange(start, pattern.shape[-1])
    return pattern[:, :, query, query - by]


EXERCISES: dict[str, Exercise] = {
    "0.1": Exercise(
        cases=random_logits,
        oracle=lambda logits: max(range(logits.shape[1]), key=lambda token: logits[-1, token]),
        mistakes={
            "these logits have no batch axis: `logits[0, -1]` is a single number, and the largest of one number stands "
            "at place 0. Rows are positions, so the last position is `logits[-1]`": lambda logits: logits[
                0, -1
            ].argmax(),
            "these logits have no batch axis: `logits[:, -1]` is the last token of the vocabulary at every position. "
            "Rows are positions, so the last position is `logits[-1]`": lambda logits: logits[:, -1].argmax(),
            "that is the prediction at <BOS>, the first position: the next token is predicted at the last one": (
                lambda logits: logits[0].argmax()
            ),
            "off by one: that is what the last but one position predicts, and the prompt has that token already": (
                lambda logits: logits[-2].argmax()
            ),
            "one prediction for each position: only the last one is asked for": lambda logits: logits.argmax(-1),
            "that is the likeliest position for each token: the argmax is over the wrong axis": (
                lambda logits: logits.argmax(0)
            ),
            "that is the least likely token: did you minimise?": lambda logits: logits[-1].argmin(),
            "that counts positions and tokens together: take the last row before the argmax": (
                lambda logits: logits.argmax()
            ),
            "that is the largest logit itself: asked for is where it stands (argmax instead of max)": (
                lambda logits: logits[-1].max()
            ),
            "that is the largest probability: asked for is the token that has it (argmax instead of max)": (
                lambda logits: logits[-1].softmax(-1).max()
            ),
            "softmax over the wrong axis: that compares positions with each other; the tokens of the last position "
            "are to be compared, and for that no softmax is needed": lambda logits: logits.softmax(0)[-1].argmax(),
            "that is the likeliest on average over positions: only the last one predicts what follows the prompt": (
                lambda logits: logits.mean(0).argmax()
            ),
        },
    ),
    "0.2": Exercise(
        cases=batch_of_patterns,
        oracle=previous_token_score_one_by_one,
        mistakes={
            "you counted query 1: before it stands only <BOS>, where idle heads rest, so begin at query 2": (
                lambda pattern: back(pattern, 1, 1).mean((0, -1))
            ),
            "that is the attention of each query to itself: the previous token is one further back": (
                lambda pattern: back(pattern, 0, 2).mean((0, -1))
            ),
            "off by one: that is the attention to the position two before": (
                lambda pattern: back(pattern, 2, 2).mean((0, -1))
            ),
            "transposed: that is what each query pays to the position after it, and the causal mask makes it zero": (
                lambda pattern: torch.zeros(pattern.shape[1])
            ),
            "averaged over heads as well: one number for each head is asked for": (
                lambda pattern: back(pattern, 1, 2).mean()
            ),
            "that is one number for each prompt and head: average over the prompts, too": (
                lambda pattern: back(pattern, 1, 2).mean(-1)
            ),
            "that is one number for each head and query: average over the queries, too": (
                lambda pattern: back(pattern, 1, 2).mean(0)
            ),
            "that is one number for each prompt: average over prompts and queries, not over heads": (
                lambda pattern: back(pattern, 1, 2).mean((1, -1))
            ),
            "that is one number for each query: average over prompts and queries, not over heads": (
                lambda pattern: back(pattern, 1, 2).mean((0, 1))
            ),
            "that is the first prompt alone: average over all prompts of the batch": (
                lambda pattern: back(pattern, 1, 2)[0].mean(-1)
            ),
            "that is the sum over queries: take the mean": lambda pattern: back(pattern, 1, 2).sum(-1).mean(0),
            "that is the mean over all keys, zeros included: keep one key for each query, the one before it": (
                lambda pattern: back(pattern, 1, 2).sum(-1).mean(0) / pattern.shape[-1] ** 2
            ),
            "`diagonal` took the axes batch and head, as it does unless told otherwise: name the last two axes with "
            "dim1=-2, dim2=-1": lambda pattern: pattern.diagonal(offset=-1)[..., 1:].mean((0, -1)),
        },
    ),
    "0.3": Exercise(
        cases=logits_and_rows,
        oracle=losses_one_by_one,
        mistakes={
            "off by one: position i predicts token i + 1, and you scored it on token i, which it reads": (
                lambda logits, rows: -picked(logits.log_softmax(-1), rows[:, :-1])
            ),
            "off by one: <BOS> predicts the first token of the text, and you left <BOS>'s prediction out": (
                lambda logits, rows: -picked(logits.log_softmax(-1)[:, 1:], rows[:, 2:])
            ),
            "off by one, backwards: position i predicts token i + 1, and you scored position i + 1 on token i + 1": (
                lambda logits, rows: -picked(logits.log_softmax(-1)[:, 1:], rows[:, 1:-1])
            ),
            "the last position is missing: `rows` is one longer than the logits, so that it has a next token as well": (
                lambda logits, rows: -picked(logits.log_softmax(-1)[:, :-1], rows[:, 1:-1])
            ),
            "softmax over positions: each position's probabilities over the vocabulary, the last axis, must sum to 1": (
                lambda logits, rows: -picked(logits.log_softmax(1), rows[:, 1:])
            ),
            "softmax over prompts: each position's probabilities over the vocabulary, the last axis, must sum to 1": (
                lambda logits, rows: -picked(logits.log_softmax(0), rows[:, 1:])
            ),
            "the softmax came too late: take it over the whole vocabulary, and pick the next token's after that": (
                lambda logits, rows: -picked(logits, rows[:, 1:]).log_softmax(-1)
            ),
            "those are logits with their sign changed, not log-probabilities: a softmax is missing": (
                lambda logits, rows: -picked(logits, rows[:, 1:])
            ),
            "those are logits, not losses: a softmax, a logarithm and a minus sign are missing": (
                lambda logits, rows: picked(logits, rows[:, 1:])
            ),
            "those are probabilities: take minus their logarithm": (
                lambda logits, rows: picked(logits.softmax(-1), rows[:, 1:])
            ),
            "one minus the probability is not the loss: take minus the logarithm of the probability": (
                lambda logits, rows: 1 - picked(logits.softmax(-1), rows[:, 1:])
            ),
            "that is the first prompt alone: the losses of all prompts of the batch are asked for": (
                lambda logits, rows: -picked(logits.log_softmax(-1), rows[:, 1:])[0]
            ),
            "in bits: use the natural logarithm for nats": (
                lambda logits, rows: -picked(logits.log_softmax(-1), rows[:, 1:]) / math.log(2)
            ),
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
            "wrong order: each matrix is transposed, but the product has to change its order with that, "
            "(A B) transposed is B transposed times A transposed": lambda W_V, W_O: W_V.T @ W_O.T,
        },
    ),
}
