"""The tasks of homework 5: two measures, then a finding that is held against the model's own behaviour."""

import itertools

import torch
from torch import Tensor

from graders import hw5_behaviour, hw5_finding
from walkthrough import interventions, models, paths
from walkthrough.homework.task import Mistake, Task

DIRECT, GOOD = "notebook 02, “The same path in bigger models”", "notebook 02, “How good is the table?”"
BREAKS, EFFECT = "notebook 09, “Found by what breaks”", "notebook 04, “Reading the tables”"
SAY = "notebook 06, “What two tables must say”"


def random_model(seed: int, n_layers: int, n_heads: int, d_model: int = 12, d_vocab: int = 23):
    """A random model that is sure of what it says, and whose patterns are far from even."""
    cfg = models.config(n_layers, d_model=d_model, n_heads=n_heads, n_ctx=16, d_vocab=d_vocab)
    model = models.PaperModel(cfg, seed)
    with torch.no_grad():
        model.tok_embed.weight.mul_(9)
        model.head.weight.mul_(6)
        for block in model.layers:
            block.attn.q.weight.mul_(1.5)
            block.attn.o.weight.mul_(1.5)
    return models.bridge(model, name="random")


# hw5-1 how odd the direct path is, beside controls


def model_and_controls(seed: int) -> list[tuple]:
    """A model with three controls, and one of another vocabulary with two."""
    shapes = ((3, 23), (2, 17))
    return [
        tuple_of([random_model(100 * seed + 10 * i + j, 1, 2, d_vocab=d_vocab) for j in range(1 + n)])
        for i, (n, d_vocab) in enumerate(shapes)
    ]


def tuple_of(drawn: list) -> tuple:
    """The first model, and a list of the others."""
    return drawn[0], drawn[1:]


def slow_oddness(model, controls) -> list[float]:
    """Token by token, and pair by pair."""
    row = lambda m, token: (m.W_E[token].double() @ m.W_U.double()).softmax(-1)
    found = []
    for token in range(model.cfg.d_vocab):
        p, others = row(model, token), [row(control, token) for control in controls]
        kl = lambda a, b: sum(x * (x.log() - y.log()) for x, y in zip(a, b))
        chance = max(kl(a, b) for a, b in itertools.permutations(others, 2))
        found.append(min(kl(p, q) for q in others) - chance)
    return torch.stack(found)


def oddness(model, controls, table=None, distance=None, near=torch.amin, chance=torch.amax, pairs=None, both=True):
    """The same with any part of it changed."""
    table = table or (lambda m: (m.W_E @ m.W_U).log_softmax(-1))
    distance = distance or (lambda a, b: (a.exp() * (a - b)).sum(-1))
    ours, theirs = table(model), [table(control) for control in controls]
    pairs = pairs or (lambda found: itertools.permutations(found, 2))
    apart = torch.stack([distance(a, b) for a, b in pairs(theirs)])
    if not both:
        return near(torch.stack([distance(ours, other) for other in theirs]), 0)
    return near(torch.stack([distance(ours, other) for other in theirs]), 0) - chance(apart, 0)


def with_model(model, controls) -> Tensor:
    """Chance taken over all pairs, the model's own among them."""
    table = lambda m: (m.W_E @ m.W_U).log_softmax(-1)
    kl = lambda a, b: (a.exp() * (a - b)).sum(-1)
    every = torch.stack([kl(a, b) for a, b in itertools.permutations([table(m) for m in (model, *controls)], 2)])
    return torch.stack([kl(table(model), table(m)) for m in controls]).amin(0) - every.amax(0)


def pooled(model, controls) -> Tensor:
    """The controls averaged into one prediction, less the chance."""
    probs = torch.stack([(m.W_E @ m.W_U).softmax(-1) for m in controls]).mean(0).log()
    ours = (model.W_E @ model.W_U).log_softmax(-1)
    chance = oddness(model, controls, both=False) - oddness(model, controls)
    return (ours.exp() * (ours - probs)).sum(-1) - chance


LOGITS = lambda m: m.W_E @ m.W_U
MEAN, FIRST = (lambda x, _: x.mean(0)), (lambda x, _: x[0])
ODD_MISTAKES = (
    Mistake("logits are no log-probabilities: normalise each row first", GOOD,
            lambda m, c: oddness(m, c, LOGITS, lambda a, b: (a.softmax(-1) * (a - b)).sum(-1))),
    Mistake("logits above their mean are no log-probabilities: a row must be normalised, not only centred", GOOD,
            lambda m, c: oddness(m, c, lambda x: LOGITS(x) - LOGITS(x).mean(-1, keepdim=True),
                                 lambda a, b: (a.softmax(-1) * (a - b)).sum(-1))),
    Mistake("softmax over the wrong axis: what follows one token is one row", DIRECT,
            lambda m, c: oddness(m, c, lambda x: LOGITS(x).log_softmax(0))),
    Mistake("rows and columns are exchanged: the present token is on the left side, in our rows", DIRECT,
            lambda m, c: oddness(m, c, lambda x: LOGITS(x).T.log_softmax(-1))),
    Mistake("the two sides of KL are exchanged: it is the model's own probabilities that weigh", GOOD,
            lambda m, c: oddness(m, c, distance=lambda a, b: (b.exp() * (b - a)).sum(-1))),
    Mistake("that is cross-entropy: the entropy is still in it", GOOD,
            lambda m, c: oddness(m, c, distance=lambda a, b: -(a.exp() * b).sum(-1))),
    Mistake("averaged over the vocabulary: a KL divergence is a sum", GOOD,
            lambda m, c: oddness(m, c, distance=lambda a, b: (a.exp() * (a - b)).mean(-1))),
    Mistake("absolute differences of probabilities are no nats", GOOD,
            lambda m, c: oddness(m, c, distance=lambda a, b: (a.exp() - b.exp()).abs().sum(-1))),
    Mistake("the farthest control was taken: the nearest is the cautious choice", DIRECT,
            lambda m, c: oddness(m, c, near=torch.amax)),
    Mistake("the distances to the controls were averaged: one odd control raises the mean", DIRECT,
            lambda m, c: oddness(m, c, near=MEAN)),
    Mistake("the model was compared with one control only", DIRECT, lambda m, c: oddness(m, c, near=FIRST)),
    Mistake("the controls were made into one before the comparison", DIRECT, pooled),
    Mistake("no baseline: how far are the controls from one another?", DIRECT, lambda m, c: oddness(m, c, both=False)),
    Mistake("each pair of controls was taken in one order: KL has two", GOOD,
            lambda m, c: oddness(m, c, pairs=lambda found: itertools.combinations(found, 2))),
    Mistake("each pair of controls was taken in one order, later before earlier: KL has two", GOOD,
            lambda m, c: oddness(m, c, pairs=lambda found: itertools.combinations(found[::-1], 2))),
    Mistake("the baseline is a mean over pairs: the largest was asked", DIRECT, lambda m, c: oddness(m, c, chance=MEAN)),
    Mistake("the baseline is the smallest of the pairs: that is no caution", DIRECT,
            lambda m, c: oddness(m, c, chance=torch.amin)),
    Mistake("the model is among its own controls", DIRECT, with_model),
    Mistake("the baseline was divided out, not taken away: a difference in nats was asked", DIRECT,
            lambda m, c: (k := oddness(m, c, both=False)) / (k - oddness(m, c))),
)  # fmt: skip


# hw5-2 what each head is worth to a rule


def with_and_without(seed: int) -> list[tuple]:
    """Two random models of different shapes, prompts, the same with one other token, and the tokens asked about."""
    generator, cases = torch.Generator().manual_seed(seed), []
    for i, (n_layers, n_heads, batch, length) in enumerate(((2, 3, 4, 9), (3, 2, 5, 8))):
        model = random_model(100 * seed + i, n_layers, n_heads)
        without = torch.randint(1, model.cfg.d_vocab, (batch, length), generator=generator)
        prompts, places = without.clone(), torch.randint(1, length - 1, (batch,), generator=generator)
        prompts[range(batch), places] = (prompts[range(batch), places] + 4) % (model.cfg.d_vocab - 1) + 1
        cases.append((model, prompts, without, torch.randint(1, model.cfg.d_vocab, (batch,), generator=generator)))
    return cases


def slow_worth(model, prompts, without, outs) -> Tensor:
    """Prompt by prompt."""
    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for rows, sign in ((prompts, 1), (without, -1)):
        for row, out in zip(rows, outs):
            full = model(row[None])[0, -1].log_softmax(-1)[out]
            for layer, head in itertools.product(range(model.cfg.n_layers), range(model.cfg.n_heads)):
                hooks = interventions.ablate(model, [(layer, head)])
                less = model.run_with_hooks(row[None], fwd_hooks=hooks)[0, -1].log_softmax(-1)[out]
                table[layer, head] += sign * (full - less) / len(prompts)
    return table


def nats(logits: Tensor, outs: Tensor) -> Tensor:
    """Log-probabilities of the tokens asked about, at the last position."""
    return logits[:, -1].log_softmax(-1)[range(len(outs)), outs]


def worth(model, prompts, without, outs, read=nats, hooks=None, mean=torch.mean, both=(1, -1)) -> Tensor:
    """The same with any part of it changed. `hooks(layer, head, rows)` is what is done to a run."""
    hooks = hooks or (lambda layer, head, rows: interventions.ablate(model, [(layer, head)]))
    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for rows, sign in zip((prompts, without), both):
        full = mean(read(model(rows), outs))
        for layer, head in itertools.product(range(model.cfg.n_layers), range(model.cfg.n_heads)):
            logits = model.run_with_hooks(rows, fwd_hooks=hooks(layer, head, rows))
            table[layer, head] += sign * (full - mean(read(logits, outs)))
    return table


def earlier_too(model, layer: int, head: int) -> list[tuple[int, int]]:
    """A head, and all that come before it."""
    return [(i, j) for i in range(layer + 1) for j in range(model.cfg.n_heads) if (i, j) <= (layer, head)]


def frozen(model, layer: int, head: int, rows: Tensor) -> list:
    """The head deleted, with every pattern as in the untouched run."""
    cache = model.run_with_cache(rows)[1]
    return paths.freeze([cache["pattern", i] for i in range(model.cfg.n_layers)]) + interventions.ablate(
        model, [(layer, head)]
    )


def last_only(z: Tensor) -> Tensor:
    """The head's output, gone at the last position and nowhere else."""
    z = z.clone()
    z[:, -1] = 0
    return z


def wrong_axis(layer: int, head: int) -> list:
    """hook_z with a position deleted in place of a head."""

    def hook(z, hook):
        z = z.clone()
        z[:, head] = 0
        return z

    return [(f"blocks.{layer}.attn.hook_z", hook)]


def on(m, layer: int, head: int, change, point: str = "z") -> list:
    """One head changed."""
    return [interventions.on_head(m, (layer, head), point, change)]


WORTH_MISTAKES = (
    Mistake("the baseline is missing: what does the same deletion cost without the source?", EFFECT,
            lambda m, p, w, o: worth(m, p, w, o, both=(1, 0))),
    Mistake("the two sets of prompts are exchanged, or the sign: a cost is what is lost WITH the source, less without",
            EFFECT, lambda m, p, w, o: worth(m, p, w, o, both=(-1, 1))),
    Mistake("the baseline was added: take it away", EFFECT, lambda m, p, w, o: worth(m, p, w, o, both=(1, 1))),
    Mistake("logits are no nats: a deletion may move all logits alike", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: x[:, -1][range(len(o)), o])),
    Mistake("a logit above the mean over the vocabulary is no log-probability: put a softmax over the whole row", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: (x[:, -1] - x[:, -1].mean(-1, keepdim=True))[range(len(o)), o])),
    Mistake("probabilities were subtracted: nats are differences of logarithms", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: nats(x, o).exp())),
    Mistake("the logarithm of a mean is not the mean of logarithms: each prompt has its own cost", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, mean=lambda x: x.exp().mean().log())),
    Mistake("softmax over the prompts: it is over the vocabulary", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: x[:, -1].log_softmax(0)[range(len(o)), o])),
    Mistake("softmax over the positions: it is over the vocabulary", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: x.log_softmax(1)[:, -1][range(len(o)), o])),
    Mistake("not at the last position: all positions were averaged", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: x.log_softmax(-1)[range(len(o)), :, o].mean(1))),
    Mistake("not at the last position, but one before: the logits there are for the last token itself", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: nats(x[:, :-1], o))),
    Mistake("every prompt was asked for every out: each has its own", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: x[:, -1].log_softmax(-1)[:, o])),
    Mistake("averaged over the vocabulary: one token was asked about", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, lambda x, o: x[:, -1].log_softmax(-1))),
    Mistake("that deletes a position of all heads: the axes of hook_z are batch, pos, head, d_head", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, hooks=lambda i, h, rows: wrong_axis(i, h))),
    Mistake("heads were deleted one after the other, without putting the earlier ones back", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, hooks=lambda i, h, rows: interventions.ablate(m, earlier_too(m, i, h)))),
    Mistake("the whole layer was deleted, for each of its heads", BREAKS, lambda m, p, w, o: worth(
        m, p, w, o, hooks=lambda i, h, rows: interventions.ablate(m, [(i, j) for j in range(m.cfg.n_heads)]))),
    Mistake("patterns were frozen: then only what a head moves is missed, and not what it does to later patterns", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, hooks=lambda i, h, rows: frozen(m, i, h, rows))),
    Mistake("deleted at the last position only: later heads still read what it wrote at others", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, hooks=lambda i, h, rows: on(m, i, h, last_only))),
    Mistake("without its queries a head looks everywhere alike: it is not deleted", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, hooks=lambda i, h, rows: on(m, i, h, torch.zeros_like, "q"))),
    Mistake("swapped, not deleted: the head was given what it has on the other prompts", BREAKS,
            lambda m, p, w, o: worth(m, p, w, o, hooks=lambda i, h, rows: interventions.swap(m, [(i, h)], w))),
    Mistake("a sum over prompts: a mean was asked", BREAKS, lambda m, p, w, o: worth(m, p, w, o, mean=torch.sum)),
)  # fmt: skip


TASKS: dict[str, Task] = {
    "hw5-1": Task("oddness", 3, DIRECT, model_and_controls, slow_oddness, ODD_MISTAKES),
    "hw5-2": Task("worth_to_a_rule", 3, BREAKS, with_and_without, slow_worth, WORTH_MISTAKES),
    "hw5-3": Task("finding", 3, BREAKS, hw5_behaviour.texts, judge=hw5_finding.finding),
    "hw5-4": Task("rules", 3, SAY, hw5_behaviour.texts, judge=hw5_finding.rules),
}
