"""Exercises 14.3 to 14.5: what reaches a neuron, what can be read off its weights, and whether it erases."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.expanding import close
from walkthrough.exercises.looking import draws

# 14.3 what reaches a neuron


def models_with_neurons() -> list[tuple]:
    """Two one-layer models of different sizes whose biases are not zero, each with two prompts."""
    from walkthrough import models

    cases = []
    for seed, (n_heads, d_mlp, n_pos) in enumerate([(2, 12, 5), (4, 7, 4)]):
        net = models.network(models.config(1, 16, n_heads, 16, 40, d_mlp=d_mlp), seed)
        biases = draws(70 + seed, (d_mlp,), (16,))
        net.layers[0].mlp.fc_in.bias.data, net.layers[0].mlp.fc_out.bias.data = biases
        generator = torch.Generator().manual_seed(seed)
        cases.append((models.bridge(net), torch.randint(1, 40, (2, n_pos), generator=generator)))
    return cases


def slow_terms(
    model, tokens: Tensor, *, change: Callable[[Tensor], Tensor] = lambda pattern: pattern, read: bool = True
) -> dict:
    """By whole products of matrices; without `read`, what would be added to the stream."""
    pattern = model.run_with_cache(tokens)[1]["blocks.0.attn.hook_pattern"]
    embed = model.W_E[tokens]
    streams = {"direct": embed}
    for head in range(model.cfg.n_heads):
        W_OV = model.W_V[0, head] @ model.W_O[0, head]
        streams[f"0:{head}"] = torch.einsum("bqk,bkr,rw->bqw", change(pattern[:, head]), embed, W_OV)
    if not read:
        return streams | {"b_in": model.b_in[0].expand(*tokens.shape, -1)}
    terms = {name: stream @ model.W_in[0] for name, stream in streams.items()}
    return terms | {"b_in": model.b_in[0].expand_as(terms["direct"])}


def left_out(terms: dict, part: str) -> dict:
    """All terms but one."""
    return {name: term for name, term in terms.items() if name != part}


TERM_MISTAKES: dict[str, Callable[..., Any]] = {
    '"b_in" is missing: the bias of each neuron is a term, too': lambda m, t: left_out(slow_terms(m, t), "b_in"),
    '"direct" is missing: the MLP also reads the embedding itself': lambda m, t: left_out(slow_terms(m, t), "direct"),
    "those are vectors of the stream: W_in makes one number for each neuron of them":
        lambda m, t: slow_terms(m, t, read=False),
    "the bias is in every term: it is a term by itself, once":
        lambda m, t: {k: v if k == "b_in" else v + m.b_in[0] for k, v in slow_terms(m, t).items()},
    "the direct term is in every head's: a head's term is only what the head adds":
        lambda m, t: {k: v if k in ("b_in", "direct") else v + m.W_E[t] @ m.W_in[0] for k, v in slow_terms(m, t).items()},
    "the ReLU is already in it: these are the terms of what comes before, and they can be negative":
        lambda m, t: {k: v.relu() for k, v in slow_terms(m, t).items()},
    "the patterns are transposed: their rows are queries": lambda m, t: slow_terms(m, t, change=lambda a: a.mT),
    "every prompt was given the pattern of the first one: keep the batch axis, pattern[:, head]":
        lambda m, t: slow_terms(m, t, change=lambda a: a[:1].expand_as(a)),
    "the patterns are missing: a head's term is mixed over positions":
        lambda m, t: slow_terms(m, t, change=lambda a: torch.eye(a.shape[-1]).expand_as(a)),
    "that is the sum of all terms: return each of them under its name": lambda m, t: sum(slow_terms(m, t).values()),
}  # fmt: skip


def judge_terms(answer: Any, model, tokens: Tensor) -> str | None:
    """What is wrong with a dict of terms; None if nothing is."""
    right = slow_terms(model, tokens)
    if close(answer, right):
        return None
    for sentence, mistake in TERM_MISTAKES.items():
        if close(answer, mistake(model, tokens)):
            return sentence
    if not isinstance(answer, dict):
        return f"return a dict from the name of each term to its numbers, not a {type(answer).__name__}"
    for name in right:
        if name not in answer:
            return f'the term "{name}" is missing: the names are {", ".join(right)}'
    if extra := [name for name in answer if name not in right]:
        return f"there is no term {extra[0]!r}: the names are {', '.join(right)}"
    name = next(name for name in right if not close(answer[name], right[name]))
    if isinstance(answer[name], Tensor) and answer[name].shape != right[name].shape:
        mine, theirs = list(answer[name].shape), list(right[name].shape)
        return f'the shape of "{name}" is {mine}, and should be [batch pos neuron], {theirs}'
    return f'the values of "{name}" are wrong'


# 14.4 readings


def neurons() -> list[tuple]:
    """W_E, W_in, W_out, W_U and k, with more tokens than dimensions, and logits that differ in their means."""
    cases = []
    for seed, (d_vocab, d_model, d_mlp, k) in enumerate([(30, 6, 5, 4), (24, 5, 7, 3)]):
        shapes = (d_vocab, d_model), (d_model, d_mlp), (d_mlp, d_model), (d_model, d_vocab)
        cases.append((*draws(80 + seed, *shapes), k))
    return cases


def ranked(scores: Tensor, k: int) -> Tensor:
    """The k largest of each row, by sorting."""
    return scores.sort(dim=1, descending=True).indices[:, :k]


def slow_readings(W_E: Tensor, W_in: Tensor, W_out: Tensor, W_U: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both tables, a row for each neuron."""
    return ranked((W_E @ W_in).T, k), ranked(W_out @ W_U, k)


READING_MISTAKES: dict[str, Callable[..., Any]] = {
    "the two lists are swapped: first what makes the neuron fire, then what it writes":
        lambda *case: slow_readings(*case)[::-1],
    "those are the k lowest: the tokens that raise it most were asked":
        lambda E, i, o, U, k: (ranked(-(E @ i).T, k), ranked(-(o @ U), k)),
    "the largest absolute values: a token that lowers the neuron does not make it fire":
        lambda E, i, o, U, k: (ranked((E @ i).T.abs(), k), ranked((o @ U).abs(), k)),
    "the first list was read with W_U: what a neuron reads is compared with the embeddings, W_E @ W_in":
        lambda E, i, o, U, k: (ranked((U.T @ i).T, k), ranked(o @ U, k)),
    "the second list was read with W_E: what a neuron writes becomes logits by W_U, W_out @ W_U":
        lambda E, i, o, U, k: (ranked((E @ i).T, k), ranked((E @ o.T).T, k)),
    "those are the values: the tokens were asked, .indices":
        lambda E, i, o, U, k: ((E @ i).T.topk(k).values, (o @ U).topk(k).values),
    "transposed: a row for each neuron, and its k tokens in it":
        lambda *case: tuple(part.T for part in slow_readings(*case)),
}  # fmt: skip


def judge_readings(answer: Any, *case) -> str | None:
    """What is wrong with a pair of lists of tokens; None if nothing is."""
    if not (isinstance(answer, tuple | list) and len(answer) == 2 and all(isinstance(x, Tensor) for x in answer)):
        return "return Readings(read, write), two tensors of token ids"
    right = slow_readings(*case)
    if all(close(mine, theirs) for mine, theirs in zip(answer, right)):
        return None
    for sentence, mistake in READING_MISTAKES.items():
        if all(close(mine, wrong) for mine, wrong in zip(answer, mistake(*case))):
            return sentence
    for name, mine, theirs in zip(("read", "write"), answer, right):
        if mine.shape != theirs.shape:
            return f"wrong shape: your {name} is {list(mine.shape)}, it should be {list(theirs.shape)}"
        if not close(mine, theirs):
            return f"the tokens of {name} are wrong, or not in order: the strongest first"
    return None


# 14.5 cosines


def pairs_of_weights() -> list[tuple[Tensor, Tensor]]:
    """W_in and W_out, neurons of very different lengths; the second case has as many neurons as dimensions."""
    cases = []
    for seed, (d_model, d_mlp) in enumerate([(5, 8), (6, 6)]):
        W_in, W_out, sizes = draws(90 + seed, (d_model, d_mlp), (d_mlp, d_model), (d_mlp,))
        cases.append((W_in * (0.5 + sizes.abs()), W_out * (0.3 + sizes.square())[:, None]))
    return cases


def slow_cosines(W_in: Tensor, W_out: Tensor) -> Tensor:
    """One neuron at a time."""
    pairs = zip(W_in.T, W_out)
    return torch.stack([torch.dot(a, b) / (a.norm() * b.norm()) for a, b in pairs])


COSINE_MISTAKES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "those are dot products: divide by both lengths":
        lambda i, o: (i.T * o).sum(-1),
    "divided by the length of what is read only: divide by that of what is written, too":
        lambda i, o: (i.T * o).sum(-1) / i.norm(dim=0),
    "divided by the length of what is written only: divide by that of what is read, too":
        lambda i, o: (i.T * o).sum(-1) / o.norm(dim=1),
    "that is the cosine of every pair of neurons: each neuron's own was asked, the diagonal":
        lambda i, o: (i.T @ o.T) / (i.norm(dim=0)[:, None] * o.norm(dim=1)),
    "divided by the squared lengths: take the roots":
        lambda i, o: (i.T * o).sum(-1) / (i.norm(dim=0) * o.norm(dim=1)) ** 2,
    "those are correlations: no mean is subtracted in a cosine":
        lambda i, o: slow_cosines(i - i.mean(0), o - o.mean(1, keepdim=True)),
    "the absolute value hides what was asked: the sign says whether it erases":
        lambda i, o: slow_cosines(i, o).abs(),
}  # fmt: skip
