"""Homework 2, tasks 1 and 2: what a head reads and what it moves; and the fresh models of all its tasks."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from walkthrough import models
from walkthrough.homework.task import Mistake

STEPS = "notebook 03, “Where a head looks”"
ADD = "notebook 03, “The heads of a layer add up”"
SPLIT = "notebook 03, “Only two products matter”"
FROZEN = "notebook 03, “A frozen head is one matrix”"
PRODUCTS = "notebook 03, “The product of two heads is a head”"
STREAM = "notebook 01, “The stream is a sum”"
TABLE = "notebook 02, “The whole model is one table”"


def fresh_model(n_layers: int, seed: int, d_model: int, n_heads: int, d_vocab: int):
    """A random model whose patterns are far from uniform, and whose heads write as much as there is in the stream."""
    model = models.PaperModel(models.config(n_layers, d_model, n_heads, n_ctx=16, d_vocab=d_vocab), seed)
    model.tok_embed.weight.data *= 10
    model.head.weight.data *= 5
    for block in model.layers:
        block.attn.q.weight.data *= 1.3
        block.attn.k.weight.data *= 1.3
        block.attn.o.weight.data *= 1.5
    return models.bridge(model)


def fresh_tokens(n_pos: int, d_vocab: int, generator: torch.Generator) -> Tensor:
    """`<BOS>` and random tokens, of which the second stands in three places, [1 pos]."""
    tokens = torch.randint(1, d_vocab, (1, n_pos), generator=generator)
    tokens[0, 0] = 0
    tokens[0, 3] = tokens[0, n_pos - 2] = tokens[0, 1]
    return tokens


# hw2-1 the three wires of a head


def changed_prompts(seed: int) -> list[tuple]:
    """A model of two layers, a prompt, the same with another token, and a layer and a head: once not the first, once not the last."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda low, high: torch.randint(low, high, (), generator=generator).item()
    cases = []
    sizes = [(9, 24, 3, 20, 1, (1, 3)), (8, 20, 2, 17, 0, (0, 2)), (10, 24, 4, 23, 1, (0, 3))]
    for n_pos, d_model, n_heads, d_vocab, layer, among in sizes:
        model, tokens = (
            fresh_model(2, draw(0, 2**31), d_model, n_heads, d_vocab),
            fresh_tokens(n_pos, d_vocab, generator),
        )
        changed, place = tokens.clone(), draw(2, 5)
        changed[0, place] = 1 + (changed[0, place] + draw(0, d_vocab - 2)) % (d_vocab - 1)  # another, and not <BOS>
        cases.append((model, tokens, changed, layer, draw(*among)))
    return cases


def patched(model, tokens: Tensor, changed: Tensor, layer: int, head: int) -> Tensor:
    """The model's own runs, with queries, then keys, then values of the layer taken from the other prompt."""
    other = model.run_with_cache(changed)[1]

    def written(*points: str) -> Tensor:
        """What the head writes when the hooks at these points pass on the other prompt's tensor."""
        hooks = [(f"blocks.{layer}.attn.hook_{point}", lambda old, hook: other[hook.name]) for point in points]
        with model.hooks(fwd_hooks=hooks):
            return model.run_with_cache(tokens)[1]["z", layer][0, :, head] @ model.W_O[layer, head]

    return torch.stack([written(point) - written() for point in "qkv"])


def bent_head(
    model, layer: int, head: int, q: Tensor, k: Tensor, v: Tensor,
    scaled: bool = True, causal: bool = True, axis: int = -1,
    in_QK: float = 1.0, in_V: float = 0.0, swapped: bool = False, unembedded: bool = True, ahead: float = -math.inf,
    d_model: bool = False, late_mask: bool = False,
) -> Tensor:  # fmt: skip
    """What a head writes when queries, keys and values read three streams, with any of the usual slips."""
    (W_Q, W_K, W_V, W_O), W_pos = models.head_weights(model, layer, head), model.W_pos[: len(q)]
    if swapped:
        W_Q, W_K = W_K, W_Q
    scale = math.sqrt(W_Q.shape[0] if d_model else W_Q.shape[1]) if scaled else 1
    scores = (q + in_QK * W_pos) @ W_Q @ ((k + in_QK * W_pos) @ W_K).T / scale
    if causal and not late_mask:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), ahead)
    pattern = scores.softmax(axis).tril() if late_mask else scores.softmax(axis)
    z = pattern @ (v + in_V * W_pos) @ W_V
    return z @ W_O if unembedded else z


def alone(out: Callable, x: Tensor, y: Tensor) -> Tensor:
    """The change through each wire while the other two stay."""
    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def bent(combine: Callable = alone, embeddings: bool = False, heads: str = "one", **slips) -> Callable:
    """A wrong answer to hw2-1: slips inside of the head, another stream, other heads, or another comparison."""

    def wrong(model, tokens: Tensor, changed: Tensor, layer: int, head: int) -> Tensor:
        """Both streams, then the comparison."""
        x, y = (
            model.W_E[t[0]] if embeddings else model.run_with_cache(t)[1]["resid_pre", layer][0]
            for t in (tokens, changed)
        )
        among = {"one": [head], "first": [0], "all": range(model.cfg.n_heads)}[heads]
        return sum(combine(lambda q, k, v, h=h: bent_head(model, layer, h, q, k, v, **slips), x, y) for h in among)

    return wrong


def one_by_one(out: Callable, x: Tensor, y: Tensor) -> Tensor:
    """Query changed, then key as well, then value as well."""
    return torch.stack([out(x, x, x), out(y, x, x), out(y, y, x), out(y, y, y)]).diff(dim=0)


def left_over(out: Callable, x: Tensor, y: Tensor) -> Tensor:
    """The keys get what queries and values do not explain."""
    q, _, v = alone(out, x, y)
    return torch.stack([q, out(y, y, y) - out(x, x, x) - q - v, v])


def at_the_place(model, tokens: Tensor, changed: Tensor, layer: int, head: int) -> Tensor:
    """Streams exchanged at the position of the changed token, and nowhere else."""
    x, y = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    y = torch.where((tokens != changed)[0, :, None], y, x)
    return alone(lambda *streams: bent_head(model, layer, head, *streams), x, y)


WIRES = (
    Mistake("the 1/√d_head is missing in your scores", STEPS, bent(scaled=False)),
    Mistake("your scores are divided by √d_model: it is √d_head", STEPS, bent(d_model=True)),
    Mistake("no causal mask: your queries see later keys", STEPS, bent(causal=False)),
    Mistake("the scores of later keys were set to 0, and a softmax gives a score of 0 its share: they must be −∞", STEPS,
            bent(ahead=0.0)),
    Mistake("later keys were taken out after the softmax, so a row no longer sums to 1: mask the scores, with −∞", STEPS,
            bent(late_mask=True)),
    Mistake("softmax over the wrong axis: a query divides its attention among keys", STEPS, bent(axis=0)),
    Mistake("positions forgotten: what W_Q and W_K read is placed", STEPS, bent(in_QK=0.0)),
    Mistake("positions reach the values: only queries and keys know them", STEPS, bent(in_V=1.0)),
    Mistake("W_Q and W_K have changed places in your scores", STEPS, bent(swapped=True)),
    Mistake("wires in another order: query, key, value was asked", SPLIT,
            bent(lambda out, x, y: alone(out, x, y)[[1, 0, 2]])),
    Mistake("your head reads the embeddings: one of a later layer reads what earlier layers added, too", STREAM,
            bent(embeddings=True)),
    Mistake("the pattern moved with the values: the value wire alone leaves it as it was", SPLIT,
            bent(lambda out, x, y: torch.cat([alone(out, x, y)[:2], (out(y, y, y) - out(x, x, x))[None]]))),
    Mistake("the wires were changed one on top of the other: each alone was asked, the other two as they were", SPLIT,
            bent(one_by_one)),
    Mistake("the changes pile up: each wire alone was asked, with the ones before it as they were", SPLIT,
            bent(lambda out, x, y: one_by_one(out, x, y).cumsum(0))),
    Mistake("the two prompts have changed places: start from `tokens`, and let one wire read the changed prompt", SPLIT,
            bent(lambda out, x, y: alone(out, y, x))),
    Mistake("only the position of the changed token was exchanged: before a later layer, the change has spread", STREAM, at_the_place),
    Mistake("one wire was left as it was and the other two were changed: it is the other way round", SPLIT,
            bent(lambda out, x, y: out(y, y, y) - torch.stack([out(x, y, y), out(y, x, y), out(y, y, x)]))),
    Mistake("one wire was taken as what the other two leave over: the three need not add up", SPLIT, bent(left_over)),
    Mistake("the changes have the wrong sign: after less before", SPLIT, bent(lambda out, x, y: -alone(out, x, y))),
    Mistake("those are outputs, not changes: what was there before is still in them", SPLIT,
            bent(lambda out, x, y: alone(out, x, y) + out(x, x, x))),
    Mistake("that is the whole layer: one of its heads was asked", ADD, bent(heads="all")),
    Mistake("that is head 0: `head` says which one was asked", ADD, bent(heads="first")),
    Mistake("that is z: the head writes to the stream through W_O", STEPS, bent(unembedded=False)),
)  # fmt: skip


# hw2-2 votes, token by token


def elections(seed: int) -> list[tuple]:
    """A model of one layer, a prompt in which a token stands in three places, a head, and two tokens to choose from.

    The first model's head is neither its first nor its last.
    """
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for n_pos, d_model, n_heads, d_vocab in [(10, 18, 3, 14), (8, 24, 2, 19)]:
        model_seed, head = (torch.randint(n, (), generator=generator).item() for n in (2**31, n_heads))
        head = 1 if n_heads == 3 else head
        answer, rival = torch.randperm(d_vocab, generator=generator)[:2].tolist()
        tokens = fresh_tokens(n_pos, d_vocab, generator)
        cases.append((fresh_model(1, model_seed, d_model, n_heads, d_vocab), tokens, head, answer, rival))
    return cases


def lost_without(model, tokens: Tensor, head: int, answer: int, rival: int) -> Tensor:
    """The model's own runs: what the logits lose when the head's values at all places of one token are zero."""
    votes = torch.zeros(tokens.shape[1], model.cfg.d_vocab, dtype=model.W_E.dtype)
    lead = lambda logits: (logits[0, :, answer] - logits[0, :, rival]).to(votes.dtype)
    for token in tokens[0].unique():

        def silence(v: Tensor, hook, here: Tensor = tokens[0] == token) -> Tensor:
            """The same values, but for zeros at these places of the head."""
            v = v.clone()
            v[:, here, head] = 0
            return v

        without = model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_v", silence)])
        votes[:, token] = lead(model(tokens)) - lead(without)
    return votes


def ballots(model, tokens: Tensor, head: int) -> tuple[Tensor, Tensor, Tensor]:
    """The head's pattern; a 1 for the token of each place, [pos d_vocab]; its table, [source out]."""
    pattern = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    table = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return pattern, torch.nn.functional.one_hot(tokens[0], model.cfg.d_vocab).to(pattern), table


def miscount(count: Callable) -> Callable:
    """A wrong answer to hw2-2 from pattern, places, table and the two tokens."""
    return lambda model, tokens, head, answer, rival: count(*ballots(model, tokens, head), answer, rival)


def other_table(table_of: Callable) -> Callable:
    """A wrong answer to hw2-2 whose values come from a wrong table, [pos out]."""

    def wrong(model, tokens: Tensor, head: int, answer: int, rival: int) -> Tensor:
        """Attention times wrong vote, summed into the token's column."""
        pattern, here, _ = ballots(model, tokens, head)
        table = table_of(model, tokens[0], model.W_V[0, head], model.W_O[0, head])
        return (pattern * (table[:, answer] - table[:, rival])) @ here

    return wrong


def overwritten(pattern: Tensor, here: Tensor, table: Tensor, answer: int, rival: int) -> Tensor:
    """Only the last place of each token counts."""
    last = here * (here.flip(0).cumsum(0).flip(0) == 1)
    return pattern @ last * (table[:, answer] - table[:, rival])


def with_direct_path(model, tokens: Tensor, head: int, answer: int, rival: int) -> Tensor:
    """The votes, and what each query's own embedding says directly."""
    direct = model.W_E[tokens[0]] @ (model.W_U[:, answer] - model.W_U[:, rival])
    here = torch.nn.functional.one_hot(tokens[0], model.cfg.d_vocab)
    return lost_without(model, tokens, head, answer, rival) + direct[:, None] * here


VOTES = (
    Mistake("a token that stands in several places kept one of its votes: they add up", SPLIT, miscount(overwritten)),
    Mistake("one column for each place: places that hold the same token share a column", SPLIT,
            miscount(lambda a, h, t, yes, no: a * (h @ (t[:, yes] - t[:, no])))),
    Mistake("the OV table is read the wrong way round: its rows are sources, its columns are outs", TABLE,
            miscount(lambda a, h, t, yes, no: a @ h * (t[yes] - t[no]))),
    Mistake("W_OV is transposed: the stream meets W_V first, then W_O", SPLIT,
            other_table(lambda m, t, v, o: m.W_E[t] @ o.T @ v.T @ m.W_U)),
    Mistake("the pattern is transposed: a row of it is one query", STEPS,
            miscount(lambda a, h, t, yes, no: a.T @ h * (t[:, yes] - t[:, no]))),
    Mistake("the rival is missing: a vote is a difference of two logits", STREAM,
            miscount(lambda a, h, t, yes, no: a @ h * t[:, yes])),
    Mistake("the answer is measured from the mean of all tokens: measure it from the rival", STREAM,
            miscount(lambda a, h, t, yes, no: a @ h * (t[:, yes] - t.mean(1)))),
    Mistake("the direct path is in your count: the embedding of the query speaks through no head", STREAM, with_direct_path),
    Mistake("votes for the rival: answer less rival was asked", STREAM,
            miscount(lambda a, h, t, yes, no: a @ h * (t[:, no] - t[:, yes]))),
    Mistake("attention was averaged over the places of a token: a head adds what arrives from each", STEPS,
            miscount(lambda a, h, t, yes, no: a @ h / h.sum(0).clamp_min(1) * (t[:, yes] - t[:, no]))),
    Mistake("<BOS> has no vote in your count: it is a source like any other", SPLIT,
            miscount(lambda a, h, t, yes, no: a[:, 1:] @ h[1:] * (t[:, yes] - t[:, no]))),
    Mistake("every place that can be seen counts in full: a vote weighs as much as the attention it gets", STEPS,
            miscount(lambda a, h, t, yes, no: torch.ones_like(a).tril() @ h * (t[:, yes] - t[:, no]))),
    Mistake("the query's token votes in your count: a head moves what stands at the key", SPLIT,
            miscount(lambda a, h, t, yes, no: a @ h * (h @ (t[:, yes] - t[:, no]))[:, None])),
    Mistake("probabilities do not add: votes are in logits, before any softmax", STREAM,
            miscount(lambda a, h, t, yes, no: a @ h * (t.softmax(-1)[:, yes] - t.softmax(-1)[:, no]))),
    Mistake("positions have a vote in your count: W_V reads the stream, which has none", STEPS,
            other_table(lambda m, t, v, o: (m.W_E[t] + m.W_pos[: len(t)]) @ v @ o @ m.W_U)),
    Mistake("that is head 0: `head` says which one was asked", ADD,
            lambda model, tokens, head, answer, rival: lost_without(model, tokens, 0, answer, rival)),
    Mistake("all heads vote together in your count: one was asked", ADD, lambda model, tokens, head, answer, rival: sum(
            lost_without(model, tokens, each, answer, rival) for each in range(model.cfg.n_heads))),
)  # fmt: skip
