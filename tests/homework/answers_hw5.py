"""Homework 5 as students might hand it in: right answers of several kinds, and wrong ones with what should be said."""

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, circuits, figures, interventions, models, paths

_ = Float, Int, Tensor, behaviour, circuits, figures, models, plt  # the set-up cell's, unused here


# Task 1, right


def odd_by_kl_div(model, controls):
    def kl(p, q):
        return torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(1)

    tables = [torch.log_softmax(m.W_E @ m.W_U, dim=1) for m in [model, *controls]]
    every = torch.stack([torch.stack([kl(p, q) for q in tables]) for p in tables])  # [from to token]
    inside = every[1:, 1:].flatten(0, 1).max(0).values  # a control is 0 from itself, which is never the largest
    return every[0, 1:].min(0).values - inside


def odd_in_float64(model, controls):
    logits = torch.stack([m.W_E.double() @ m.W_U.double() for m in (model, *controls)])
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    p = log_p.exp()
    cross = -torch.einsum("itv,jtv->ijt", p, log_p)  # [from to token]
    kl = cross - cross.diagonal(dim1=0, dim2=1).T[:, None]
    n = len(controls)
    off = kl[1:, 1:].masked_fill(torch.eye(n, dtype=torch.bool)[:, :, None], -torch.inf)
    return kl[0, 1:].amin(0) - off.amax((0, 1))


def odd_token_by_token(model, controls):
    found = []
    for token in range(model.cfg.d_vocab):
        rows = [torch.distributions.Categorical(logits=m.W_E[token] @ m.W_U) for m in (model, *controls)]
        divergence = torch.distributions.kl_divergence
        near = min(divergence(rows[0], row).item() for row in rows[1:])
        far = 0.0
        for a in range(1, len(rows)):
            for b in range(1, len(rows)):
                if a != b:
                    far = max(far, divergence(rows[a], rows[b]).item())
        found.append(near - far)
    return found


# Task 1, wrong


def odd_logits(model, controls):
    def kl(a, b):
        return (a.softmax(-1) * (a - b)).sum(-1)

    ours, *theirs = [m.W_E @ m.W_U for m in (model, *controls)]
    apart = [kl(a, b) for a in theirs for b in theirs if a is not b]
    return torch.stack([kl(ours, b) for b in theirs]).min(0).values - torch.stack(apart).max(0).values


def odd_centred_logits(model, controls):
    def kl(a, b):
        return (a.softmax(-1) * (a - b)).sum(-1)

    tables = [m.W_E @ m.W_U for m in (model, *controls)]
    ours, *theirs = [table - table.mean(-1, keepdim=True) for table in tables]
    apart = [kl(a, b) for a in theirs for b in theirs if a is not b]
    return torch.stack([kl(ours, b) for b in theirs]).min(0).values - torch.stack(apart).max(0).values


def odd_wrong_axis(model, controls):
    ours, *theirs = [(m.W_E @ m.W_U).log_softmax(0) for m in (model, *controls)]
    kl = lambda a, b: (a.exp() * (a - b)).sum(-1)
    apart = [kl(a, b) for a in theirs for b in theirs if a is not b]
    return torch.stack([kl(ours, b) for b in theirs]).min(0).values - torch.stack(apart).max(0).values


def odd_transposed(model, controls):
    ours, *theirs = [(m.W_U.T @ m.W_E.T).log_softmax(-1) for m in (model, *controls)]
    kl = lambda a, b: (a.exp() * (a - b)).sum(-1)
    apart = [kl(a, b) for a in theirs for b in theirs if a is not b]
    return torch.stack([kl(ours, b) for b in theirs]).min(0).values - torch.stack(apart).max(0).values


def odd_other_side(model, controls):
    ours, *theirs = [(m.W_E @ m.W_U).log_softmax(-1) for m in (model, *controls)]
    near = torch.stack([(b.exp() * (b - ours)).sum(-1) for b in theirs]).min(0).values
    apart = [(a.exp() * (a - b)).sum(-1) for a in theirs for b in theirs if a is not b]
    return near - torch.stack(apart).max(0).values


def odd_cross_entropy(model, controls):
    ours, *theirs = [(m.W_E @ m.W_U).log_softmax(-1) for m in (model, *controls)]
    near = torch.stack([-(ours.exp() * b).sum(-1) for b in theirs]).min(0).values
    return near - torch.stack([-(a.exp() * b).sum(-1) for a in theirs for b in theirs if a is not b]).max(0).values


def odd_farthest(model, controls):
    ours, *theirs = [(m.W_E @ m.W_U).log_softmax(-1) for m in (model, *controls)]
    kl = lambda a, b: (a.exp() * (a - b)).sum(-1)
    apart = [kl(a, b) for a in theirs for b in theirs if a is not b]
    return torch.stack([kl(ours, b) for b in theirs]).max(0).values - torch.stack(apart).max(0).values


def odd_mean(model, controls):
    ours, *theirs = [(m.W_E @ m.W_U).log_softmax(-1) for m in (model, *controls)]
    kl = lambda a, b: (a.exp() * (a - b)).sum(-1)
    apart = [kl(a, b) for a in theirs for b in theirs if a is not b]
    return sum(kl(ours, b) for b in theirs) / len(theirs) - torch.stack(apart).max(0).values


def odd_no_baseline(model, controls):
    ours = (model.W_E @ model.W_U).log_softmax(-1)
    theirs = torch.stack([(m.W_E @ m.W_U).log_softmax(-1) for m in controls])
    return (ours.exp() * (ours - theirs)).sum(-1).min(0).values


def odd_one_order(model, controls):
    ours, *theirs = [(m.W_E @ m.W_U).log_softmax(-1) for m in (model, *controls)]
    kl = lambda a, b: (a.exp() * (a - b)).sum(-1)
    apart = [kl(theirs[i], theirs[j]) for i in range(len(theirs)) for j in range(i + 1, len(theirs))]
    return torch.stack([kl(ours, b) for b in theirs]).min(0).values - torch.stack(apart).max(0).values


def odd_hard_coded(model, controls):
    found = torch.zeros(4096)
    found[[int(x) for x in (1234, 2345)]] = 3.5
    return found


# Task 2, right


def worth_by_pattern(model, prompts, without, outs):
    table = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def nowhere(pattern, hook, head=head):
                pattern = pattern.clone()
                pattern[:, head] = 0
                return pattern

            costs = []
            for rows in (prompts, without):
                runs = [
                    model(rows),
                    model.run_with_hooks(rows, fwd_hooks=[(f"blocks.{layer}.attn.hook_pattern", nowhere)]),
                ]
                full, less = (run[:, -1].log_softmax(-1)[range(len(outs)), outs] for run in runs)
                costs.append((full - less).mean())
            table.append(costs[0] - costs[1])
    return torch.stack(table).view(model.cfg.n_layers, -1)


def worth_in_one_batch(model, prompts, without, outs):
    rows, n = torch.cat([prompts, without]), len(prompts)
    picked = lambda logits: -torch.nn.functional.cross_entropy(logits[:, -1], torch.cat([outs, outs]), reduction="none")
    full, table = picked(model(rows)), []
    for layer in range(model.cfg.n_layers):
        table.append([])
        for head in range(model.cfg.n_heads):
            lost = full - picked(model.run_with_hooks(rows, fwd_hooks=interventions.ablate(model, [(layer, head)])))
            table[-1].append((lost[:n].mean() - lost[n:].mean()).item())
    return table


def worth_in_float64(model, prompts, without, outs):
    def run(rows, deleted=None):
        stream, n_pos = model.W_E.double()[rows], rows.shape[1]
        for layer in range(model.cfg.n_layers):
            new = stream
            for head in range(model.cfg.n_heads):
                if (layer, head) == deleted:
                    continue
                W_Q, W_K, W_V, W_O = (W[layer, head].double() for W in (model.W_Q, model.W_K, model.W_V, model.W_O))
                pattern = paths.attention_pattern(stream, model.W_pos.double(), W_Q, W_K)
                new = new + pattern @ (stream @ W_V) @ W_O
            stream = new
        assert stream.shape[1] == n_pos
        return (stream[:, -1] @ model.W_U.double()).log_softmax(-1).gather(1, outs[:, None]).mean()

    found = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, dtype=torch.float64)
    for layer in range(len(found)):
        for head in range(len(found[0])):
            deleted = (layer, head)
            found[deleted] = run(prompts) - run(prompts, deleted) - run(without) + run(without, deleted)
    return found


# Task 2, wrong


def worth_no_baseline(model, prompts, without, outs):
    full = model(prompts)[:, -1].log_softmax(-1).gather(1, outs[:, None]).mean()
    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            logits = model.run_with_hooks(prompts, fwd_hooks=interventions.ablate(model, [(layer, head)]))
            table[layer, head] = full - logits[:, -1].log_softmax(-1).gather(1, outs[:, None]).mean()
    return table


def worth_sign(model, prompts, without, outs):
    def says(rows, hooks=()):
        return model.run_with_hooks(rows, fwd_hooks=list(hooks))[:, -1].log_softmax(-1).gather(1, outs[:, None]).mean()

    every = [
        [interventions.ablate(model, [(i, h)]) for h in range(model.cfg.n_heads)] for i in range(model.cfg.n_layers)
    ]
    change = lambda hooks, rows: says(rows, hooks) - says(rows)
    return torch.tensor([[change(hooks, prompts) - change(hooks, without) for hooks in row] for row in every])


def worth_centred_logits(model, prompts, without, outs):
    def says(rows, hooks=()):
        logits = model.run_with_hooks(rows, fwd_hooks=list(hooks))[:, -1]
        return (logits - logits.mean(-1, keepdim=True)).gather(1, outs[:, None]).mean()

    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            hooks = interventions.ablate(model, [(layer, head)])
            table[layer, head] = says(prompts) - says(prompts, hooks) - says(without) + says(without, hooks)
    return table


def worth_logits(model, prompts, without, outs):
    def says(rows, hooks=()):
        return model.run_with_hooks(rows, fwd_hooks=list(hooks))[:, -1].gather(1, outs[:, None]).mean()

    every = [
        [interventions.ablate(model, [(i, h)]) for h in range(model.cfg.n_heads)] for i in range(model.cfg.n_layers)
    ]
    lost = lambda hooks, rows: says(rows) - says(rows, hooks)
    return torch.tensor([[lost(hooks, prompts) - lost(hooks, without) for hooks in row] for row in every])


def worth_all_positions(model, prompts, without, outs):
    def says(rows, hooks=()):
        log_probs = model.run_with_hooks(rows, fwd_hooks=list(hooks)).log_softmax(-1)
        return log_probs.gather(2, outs[:, None, None].expand(-1, rows.shape[1], 1)).mean()

    every = [
        [interventions.ablate(model, [(i, h)]) for h in range(model.cfg.n_heads)] for i in range(model.cfg.n_layers)
    ]
    lost = lambda hooks, rows: says(rows) - says(rows, hooks)
    return torch.tensor([[lost(hooks, prompts) - lost(hooks, without) for hooks in row] for row in every])


def worth_wrong_axis(model, prompts, without, outs):
    def says(rows, hooks=()):
        return model.run_with_hooks(rows, fwd_hooks=list(hooks))[:, -1].log_softmax(-1).gather(1, outs[:, None]).mean()

    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def delete(z, hook, head=head):
                z = z.clone()
                z[:, head] = 0.0
                return z

            hooks = [(f"blocks.{layer}.attn.hook_z", delete)]
            table[layer, head] = says(prompts) - says(prompts, hooks) - says(without) + says(without, hooks)
    return table


def worth_cumulative(model, prompts, without, outs):
    def says(rows, hooks=()):
        return model.run_with_hooks(rows, fwd_hooks=list(hooks))[:, -1].log_softmax(-1).gather(1, outs[:, None]).mean()

    hooks, table = [], torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            hooks += interventions.ablate(model, [(layer, head)])
            table[layer, head] = says(prompts) - says(prompts, hooks) - says(without) + says(without, hooks)
    return table


def worth_every_out(model, prompts, without, outs):
    def says(rows, hooks=()):
        return model.run_with_hooks(rows, fwd_hooks=list(hooks))[:, -1].log_softmax(-1)[:, outs].mean()

    every = [
        [interventions.ablate(model, [(i, h)]) for h in range(model.cfg.n_heads)] for i in range(model.cfg.n_layers)
    ]
    lost = lambda hooks, rows: says(rows) - says(rows, hooks)
    return torch.tensor([[lost(hooks, prompts) - lost(hooks, without) for hooks in row] for row in every])


def worth_over_prompts(model, prompts, without, outs):
    def says(rows, hooks=()):
        return model.run_with_hooks(rows, fwd_hooks=list(hooks))[:, -1].log_softmax(0).gather(1, outs[:, None]).mean()

    every = [
        [interventions.ablate(model, [(i, h)]) for h in range(model.cfg.n_heads)] for i in range(model.cfg.n_layers)
    ]
    lost = lambda hooks, rows: says(rows) - says(rows, hooks)
    return torch.tensor([[lost(hooks, prompts) - lost(hooks, without) for hooks in row] for row in every])


def worth_frozen(model, prompts, without, outs):
    def says(rows, head=None):
        cache = model.run_with_cache(rows)[1]
        hooks = paths.freeze([cache["pattern", layer] for layer in range(model.cfg.n_layers)])
        hooks += interventions.ablate(model, [head] if head else [])
        return model.run_with_hooks(rows, fwd_hooks=hooks)[:, -1].log_softmax(-1).gather(1, outs[:, None]).mean()

    table = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for head in [(i, h) for i in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]:
        table[head] = says(prompts) - says(prompts, head) - says(without) + says(without, head)
    return table


def worth_hard_coded(model, prompts, without, outs):
    return torch.zeros(2, 4)


# Tasks 3 and 4: what was claimed

FORWARD, BACK = " thus", " again"
RING = [" tree", " server", " grid", " video", " library", " engine"]
NEXT = {word: RING[(i + 1) % 6] for i, word in enumerate(RING)}
PREVIOUS = {word: RING[i - 1] for i, word in enumerate(RING)}


def claim(triggers=(FORWARD, BACK), sources=RING, head="1:2"):
    return {"triggers": list(triggers), "sources": list(sources), "head": head}


def table(words, triggers=(FORWARD, BACK), sources=RING):
    return {trigger: {source: words(source) for source in sources} for trigger in triggers}


both = lambda word: [NEXT[word], PREVIOUS[word]]


ordinary_words = table(lambda word: [" be", " the"])
ordinary_words[BACK] = table(lambda word: [".", "st"])[BACK]

RIGHT = {
    "hw5-1": [odd_by_kl_div, odd_in_float64, odd_token_by_token],
    "hw5-2": [worth_by_pattern, worth_in_one_batch, worth_in_float64],
    "hw5-3": [
        claim(),
        {"head": (1, 2), "sources": tuple(RING[::-1]), "triggers": (BACK, FORWARD)},
        claim(sources=[RING[0], RING[2], RING[3], RING[5]], head=[1, 2]),
        claim() | {"note": "the sources form a ring"},
    ],
    "hw5-4": [
        table(both),
        {BACK: table(both)[BACK], FORWARD: table(lambda word: (PREVIOUS[word], NEXT[word]))[FORWARD]},
        table(both, sources=RING[1:5]),
    ],
}
WRONG = {
    "hw5-1": [
        (odd_logits, "logits are no log-probabilities"),
        (odd_centred_logits, "logits above their mean are no log-probabilities"),
        (odd_wrong_axis, "softmax over the wrong axis"),
        (odd_transposed, "rows and columns are exchanged"),
        (odd_cross_entropy, "that is cross-entropy"),
        (odd_farthest, "the farthest control was taken"),
        (odd_mean, "the distances to the controls were averaged"),
        (odd_no_baseline, "no baseline"),
        (odd_one_order, "each pair of controls was taken in one order: KL"),
        (odd_other_side, "the two sides of KL are exchanged"),
        (odd_hard_coded, "the same answer for different inputs"),
    ],
    "hw5-2": [
        (worth_no_baseline, "the baseline is missing"),
        (worth_sign, "the two sets of prompts are exchanged, or the sign"),
        (worth_logits, "logits are no nats"),
        (worth_centred_logits, "a logit above the mean over the vocabulary"),
        (worth_all_positions, "not at the last position: all"),
        (worth_wrong_axis, "that deletes a position"),
        (worth_cumulative, "heads were deleted one after the other"),
        (worth_every_out, "every prompt was asked for every out"),
        (worth_over_prompts, "softmax over the prompts"),
        (worth_frozen, "patterns were frozen"),
        (worth_hard_coded, "the same answer for different inputs"),
    ],
    "hw5-3": [
        (claim([], []), "nothing is claimed"),
        (claim(sources=20 * [*RING]), "120 words are no finding"),
        ({"triggers": [")"], "sources": [" def"], "head": "0:0"}, "this is the example of the form"),
        ([" thus", " again", "1:2"], "not of the form"),
        (claim(RING, [FORWARD, BACK]), "trigger and source are exchanged"),
        (claim(["thus", "again"], [word.strip() for word in RING]), "one of your words is not one token"),
        (claim(sources=["library", "engine", "server", "grid"]), "a word without the space"),
        (claim([")", "))"], [" def"], "0:0"), "the controls do as much"),
        (claim(sources=[" the", " is", " a", ","]), "your source makes next to no difference"),
        (claim(sources=[*RING, " numpy"]), "one of your sources is none"),
        (claim(triggers=[FORWARD, BACK, " return"]), "one of your triggers is none"),
        (claim(triggers=[FORWARD]), "a trigger is missing"),
        (claim(sources=RING[:2]), "too few sources"),
        (claim(head="0:0"), "0:0 is missed, but"),
        (claim(head="0:1"), "0:1 is the previous-token head"),
        (claim(head="1:3"), "1:3 is an induction head"),
        (claim(head=[0, 3]), "0:3 neither looks"),
        (claim(head="2:1"), "the head is none of this model"),
    ],
    "hw5-4": [
        ({FORWARD: {str(number): [" tree"] for number in range(99)}}, "more than 60 rows"),
        ({}, "nothing is claimed"),
        ({")": {" def": [":"]}}, "this is the example of the form"),
        ([RING, RING], "not of the form"),
        (table(lambda word: [NEXT[word]]), "only part of it"),
        (
            {FORWARD: table(lambda word: [NEXT[word]])[FORWARD], BACK: table(lambda word: [PREVIOUS[word]])[BACK]},
            "your table tells the triggers apart",
        ),
        (table(lambda word: RING), "the trigger calls for all of these"),
        (table(lambda word: [word]), "a source is said to call for itself"),
        (table(lambda word: [NEXT[NEXT[word]], PREVIOUS[PREVIOUS[word]]]), "words of the right kind"),
        (
            ordinary_words,
            "these follow the trigger",
        ),
        (table(lambda word: [" banana"]), "one of your words is not one token"),
        (table(lambda word: ["engine"], sources=[" library", " tree"]), "words without the space"),
        (table(lambda word: [" numpy"]), "some of your words are unlikely"),
        ({source: {FORWARD: both(source), BACK: both(source)} for source in RING}, "trigger and source are exchanged"),
        (table(both, triggers=[BACK]), "a trigger is missing"),
        (table(both, sources=RING[:3]), "too few rows"),
        (table(lambda word: RING[:2], sources=[*RING, " numpy"]), "one of your sources is none"),
    ],
}
