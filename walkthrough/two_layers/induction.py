"""Induction heads measured: by behaviour, by weights, and by what changes when a run is changed."""

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, circuits, interventions, paths
from walkthrough.architecture import SCORING, STREAM, bos, described, leaves_out
from walkthrough.two_layers.composition import check_pair


def induction_heads(model, *, length: int = 20, seed: int = 0) -> dict[interventions.Head, float]:
    """The heads that pay more than half of their attention to what followed earlier copies, with their scores.

    Measured by `behaviour.prefix_matching_score` on 32 prompts of `length` random tokens said three times. One half is
    the course's own line: above it, most of what the head moves comes from there (score: Olsson et al. 2022, appendix).
    """
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, length, times=3, batch=32, seed=seed, bos=bos(model))
    with model.hooks(fwd_hooks=[behaviour.LAST_LOGITS]):
        cache = model.run_with_cache(tokens)[1]
    scores = [behaviour.prefix_matching_score(cache["pattern", layer], length) for layer in range(model.cfg.n_layers)]
    return {(layer, head): x for layer, row in enumerate(scores) for head, x in enumerate(row.tolist()) if x > 0.5}


def best_score(
    model, tokens: Int[Tensor, "batch pos"], length: int, *, without: Iterable[interventions.Head] = ()
) -> float:
    """The prefix-matching score of a model's best head, some left out, on `repeated_tokens` with copies of this length."""
    with model.hooks(fwd_hooks=[behaviour.LAST_LOGITS]):
        cache, left_out = model.run_with_cache(tokens)[1], set(without)
    scores = [behaviour.prefix_matching_score(cache["pattern", layer], length) for layer in range(model.cfg.n_layers)]
    every = {(layer, head): x for layer, row in enumerate(scores) for head, x in enumerate(row.tolist())}
    return max(x for head, x in every.items() if head not in left_out)


def scores_at(run: Callable, d_vocab: int, lengths: Sequence[int], bos: int = 0) -> Float[Tensor, "length head"]:
    """Prefix-matching scores for copies of each length, said twice: `run` takes tokens and returns patterns.

    A head that only looks a fixed distance back scores at one length and fails at the others.
    """
    prompts = [behaviour.repeated_tokens(d_vocab, n, times=2, batch=16, seed=n, bos=bos) for n in lengths]
    return torch.stack([behaviour.prefix_matching_score(run(rows), n) for rows, n in zip(prompts, lengths)])


def match_gain(circuit) -> float:
    """Score of an equal token above an average one: mean diagonal minus mean of the table."""
    diagonal = (circuit.A * circuit.B.T).sum(-1)
    mean_of_table = circuit.A.mean(0) @ circuit.B.mean(1)
    return (diagonal.mean() - mean_of_table).item()


def own_token_heads(model, *, length: int = 60, seed: int = 0, layer: int = 0) -> dict[interventions.Head, float]:
    """The heads of a layer that pay more than half of their attention to the token that looks, with that share.

    A mean over 32 prompts of `length` random tokens, which never repeat on purpose; query 0, which sees nothing but
    itself, and query 1 are left out, as in `behaviour.previous_token_score`. One half is the course's own line.
    """
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, length, times=1, batch=32, seed=seed, bos=bos(model))
    with model.hooks(fwd_hooks=[behaviour.LAST_LOGITS]):
        pattern = model.run_with_cache(tokens)[1]["pattern", layer]
    own = pattern.diagonal(dim1=-2, dim2=-1)[:, :, 2:].mean((0, -1))  # [head]
    return {(layer, head): share for head, share in enumerate(own.tolist()) if share > 0.5}


@leaves_out(*STREAM, "value_biases", "MLPs", "groups")
def effective_embedding(model) -> Float[Tensor, "d_vocab d_model"]:
    """What layer 1 finds of each token at its own position: W_E and what own-token heads add to it.

    They count as if they looked at nothing but their own token. In the units of the stream.
    """
    embedding = model.W_E
    for head in own_token_heads(model):
        embedding = embedding + model.W_E @ model.W_V[head] @ model.W_O[head]
    return embedding


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def corner_table(
    model,
    queries: Float[Tensor, "d_vocab d_model"] | None = None,
    *,
    order: Int[Tensor, " d_vocab"] | None = None,
    layers: tuple[int, int] = (0, 1),
) -> Float[Tensor, "early late number"]:
    """For each head of an earlier layer with each of a later one: OV positivity of the later, K-composed positivity, match gain.

    OV circuits are centred. `queries` is what a query holds of each token: W_E, as in the paper's term, or for example
    `effective_embedding`. (Elhage et al. 2021, "Checking the mechanistic theory"; the third number is ours: positivity
    knows no size.) With an `order`, the rows of both tables are put in it, so that a row and its column are no longer
    of one token: a baseline in which every size is kept.
    """
    (first, second), heads, rows = layers, range(model.cfg.n_heads), []
    check_pair(model, (first, 0), (second, 0))
    order = torch.arange(model.cfg.d_vocab) if order is None else order
    queries = (model.W_E if queries is None else queries)[order]
    OVs = [circuits.centred(circuits.ov_circuit(model, second, late)) for late in heads]
    copying = [circuits.eigenvalue_positivity(type(OV)(OV.A[order], OV.B)) for OV in OVs]
    for early in heads:
        keys = model.W_E @ model.OV[first, early]
        terms = [queries @ model.QK[second, late] @ keys.T * model.cfg.d_head**-0.5 for late in heads]
        row = [(copying[late], circuits.eigenvalue_positivity(terms[late]), match_gain(terms[late])) for late in heads]
        rows.append(torch.tensor(row))
    return torch.stack(rows)


def costs(
    model, tokens: Int[Tensor, "batch pos"], length: int, changes: Iterable[interventions.Hooks]
) -> Float[Tensor, "change batch"]:
    """What each list of hooks adds to the loss of each prompt on all copies after the first, in nats."""
    untouched = behaviour.copy_loss(model, tokens, length)
    return torch.stack([behaviour.copy_loss(model, tokens, length, hooks) - untouched for hooks in changes])


@leaves_out("patterns")
def changes_of(
    model, tokens: Int[Tensor, "batch pos"], others: Int[Tensor, "batch pos"], head: interventions.Head
) -> dict[str, interventions.Hooks]:
    """Six ways to do without a head: deleted, swapped, deleted with patterns frozen, out of later q, k or v."""
    with model.hooks(fwd_hooks=[behaviour.LAST_LOGITS]):
        cache = model.run_with_cache(tokens)[1]
    frozen = paths.freeze([cache["pattern", layer] for layer in range(model.cfg.n_layers)])
    deleted = interventions.ablate(model, [head])
    changes = {"deleted": deleted, "swapped": interventions.swap(model, [head], others), "frozen": frozen + deleted}
    return changes | {f"out of {which}": interventions.unread(model, tokens, head, which) for which in "qkv"}


@leaves_out("patterns")
def steered(
    model,
    tokens: Int[Tensor, "batch pos"],
    length: int,
    head: interventions.Head,
    later: Sequence[int],
    steps: int = 3,
    layer: int = 1,
) -> tuple[Float[Tensor, "by step"], Float[Tensor, "by step"]]:
    """A head is made to look 1, 2, … back: where do heads of a later layer look, and what does the model expect?

    Per row, attention of heads `later` of that layer to the token 1, 2, … after the earlier copy of the present one; and
    the mean log-probability in nats of that token. Inside the second copy of `tokens`, made by `repeated_tokens`.
    """
    query, ahead = torch.arange(length + steps + 2, 2 * length - steps), range(1, steps + 1)
    attended, expected = torch.zeros(2, steps, steps)
    for by in ahead:
        with model.hooks(fwd_hooks=interventions.look_back(model, head, by)):
            logits, cache = model.run_with_cache(tokens)
        pattern, log_probs = cache["pattern", layer][:, list(later)].mean(1), logits[:, query].log_softmax(-1)
        for step in ahead:
            attended[by - 1, step - 1] = pattern[:, query, query - length + step].mean()
            expected[by - 1, step - 1] = log_probs.gather(-1, tokens[:, query + step, None]).mean()
    return attended, expected


def attention_to(
    model, hooks: interventions.Hooks, heads: Sequence[int], tokens: Int[Tensor, "batch pos"],
    places: Sequence[Int[Tensor, " batch"]], layer: int = 1,
) -> Float[Tensor, "place batch"]:  # fmt: skip
    """Attention that heads of a layer, on average, pay each place from the last position; hooks change the run."""
    with model.hooks(fwd_hooks=[*hooks, behaviour.LAST_LOGITS]):
        pattern = model.run_with_cache(tokens)[1]["pattern", layer][:, list(heads), -1].mean(1)
    return torch.stack([pattern.gather(1, place[:, None])[:, 0] for place in places])


def logit_effect(
    z: Float[Tensor, "pos d_head"],
    W_O: Float[Tensor, "d_head d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
    tokens: Int[Tensor, " pos"],
) -> Float[Tensor, " pos_before"]:
    """What a head adds to the logit of the token that came next, less its mean over the vocabulary.

    For each position but the last, after which no token came. In logits (Elhage et al. 2021,
    "Induction Heads", without the mean).
    """
    added = z[:-1] @ W_O @ W_U  # [pos d_vocab]
    came = tokens[1:, None].long()
    return added.gather(1, came)[:, 0] - added.mean(1)


@leaves_out(*STREAM, "groups", "logits", exact="walkthrough.beyond.frozen_scores:frozen_reading")
def reading(
    model, head: interventions.Head, text: str
) -> tuple[Float[Tensor, "query key"], Float[Tensor, "query key"], Float[Tensor, " query"]]:
    """Pattern, value-weighted pattern (times |v W_O|, the length of what each key sends) and logit effect on a text.

    The effect at the last position, after which nothing came, is 0 (Elhage et al. 2021, "Induction Heads").
    """
    layer, number = head
    tokens = model.to_tokens(text)
    cache = model.run_with_cache(tokens)[1]
    pattern, v, z = (cache[name, layer][0] for name in ("pattern", "v", "z"))
    effect = logit_effect(z[:, number], model.W_O[head], model.W_U, tokens[0])
    sent = (v[:, number] @ model.W_O[head]).norm(dim=-1)
    return pattern[number], pattern[number] * sent, torch.cat([effect, torch.zeros(1)])


def losses(
    model, rows: Int[Tensor, "batch pos_and_one"], heads: Sequence[interventions.Head] = (), frozen: bool = False
) -> Float[Tensor, "batch pos"]:
    """Loss in nats of each next token, with heads deleted and, if asked, every pattern as in the untouched run.

    Raises ValueError if patterns are to be frozen that no hook can change.
    """
    if frozen and (fixed := described(model).patterns):
        raise ValueError(f"{model.cfg.model_name} has {fixed}: leave them free, with `frozen=False`")
    every = []
    for part in rows.split(16):
        hooks = interventions.ablate(model, heads)
        if frozen:
            with model.hooks(fwd_hooks=[behaviour.LAST_LOGITS]):
                cache = model.run_with_cache(part[:, :-1], names_filter=lambda name: name.endswith("pattern"))[1]
            hooks = paths.freeze([cache["pattern", layer] for layer in range(model.cfg.n_layers)]) + hooks
        logits = model.run_with_hooks(part[:, :-1], fwd_hooks=hooks)
        every.append(behaviour.loss_per_position(logits, part))
    return torch.cat(every)


def late_minus_early(
    losses: Float[Tensor, "batch pos"], early: tuple[int, int] = (30, 60), late: tuple[int, int] = (200, 256)
) -> Float[Tensor, " batch"]:
    """Each window's mean loss late minus early, in nats; below zero, the model gains from context.

    The in-context-learning score of Olsson et al. 2022, who take the 500th and the 50th token.
    """
    return losses[:, slice(*late)].mean(1) - losses[:, slice(*early)].mean(1)


def mean_and_error(values: Float[Tensor, " batch"]) -> str:
    """A mean with its standard error, as text."""
    return f"{values.mean():+z.2f} ± {values.std() / len(values) ** 0.5:.2f}"
