"""What the shipped curves of smaller networks measure, each on its own; `walkthrough.beyond.smaller_runs` does all of it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import corpus, models
from walkthrough.beyond import smaller_healing as healing
from walkthrough.beyond.smaller_importance import EDGES, LADDER, Edges
from walkthrough.beyond.smaller_network import SmallNetwork, small_network
from walkthrough.beyond.smaller_speed import FastNetwork, tokens_per_second

PREVIOUS = [(0, 7)]  # the previous-token head of "two-layer"
STEPS = 60  # of healing, 4 rows of 256 tokens each, the whole model as the teacher
NEAR_COST = 2.5e-3  # nats that seeing only near keys may cost a head, measured alone
IDLE = 5e-4  # nats that a virtual head is worth at most which frozen patterns call idle
UNEMBED_RANKS = (224, 192, 160, 128)
METHODS = ("ranks by what is read", "plain SVD", "whole heads", "magnitude", "distilled")
CONTROLS = ("even ranks", "random ranks", "chosen ranks, plain SVD")  # what is weighing worth, and what is choosing?
SOME = slice(None, None, 4)  # windows that are enough for what is not healed


def split_texts() -> dict[str, Int[Tensor, "window pos_and_one"]]:
    """Rows to read (16), to measure (8) and to heal on, from all training packages; and 400 held-out ones."""
    tokenizer = models.load_tokenizer().backend_tokenizer
    rows = corpus.windows((text for _, text in corpus.documents(corpus.TRAINING, 600_000)), tokenizer)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))].long()
    held_out = corpus.held_out(tokenizer)[::22][:400].long()
    return {"read": rows[:16], "measure": rows[16:24], "heal": rows[24:], "held out": held_out}


def shared_runs(
    some: Int[Tensor, "window pos_and_one"], others: Int[Tensor, "other pos_of_others"], length: int = 32
) -> float:
    """The share of runs of so many tokens in some windows that stand in others as well: 0 for texts that have nothing in common."""
    runs = lambda rows: [tuple(run) for row in rows[:, 1:].tolist() for run in zip(*(row[at:] for at in range(length)))]
    known, asked = set(runs(others)), runs(some)
    return sum(run in known for run in asked) / len(asked)


def paired(losses: Float[Tensor, " window"], whole: Float[Tensor, " window"]) -> dict[str, float | int]:
    """The mean difference and its standard error over windows, in nats, rounded."""
    change = losses - whole
    return {"cost": round(change.mean().item(), 5), "stderr": round((change.std() / len(change) ** 0.5).item(), 5),
            "windows": len(change)}  # fmt: skip


def worths(model, rows: Int[Tensor, "window pos_and_one"], means: dict) -> dict:
    """What each head, each edge and each head's far keys are worth, in nats on these rows, cut alone."""
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    loss = lambda **how: small_network(model, **how).window_losses(rows).mean().item()
    whole = loss()
    return {
        "heads": [loss(dropped={head: means[head]}) - whole for head in every],
        "far keys": [loss(near=[head]) - whole for head in every],
        "edges": Edges(model, rows).costs().tolist(),
    }


def other_cuts(model, known: dict, rows: Int[Tensor, "window pos_and_one"]) -> list[dict]:
    """Rows {"cut", "saves" (parameters), "cost", "stderr", "windows"}: what else could be left out, without healing."""
    whole, found = small_network(model), []
    losses, edges = whole.window_losses(rows), Edges(model, rows)

    def network(cut: str, **how) -> None:
        """A network with something left out."""
        net = small_network(model, **how)
        saves = whole.attention_numbers() - net.attention_numbers()
        found.append({"cut": cut, "saves": saves} | paired(net.window_losses(rows), losses))

    def paths(cut: str, changed: Float[Tensor, " window"]) -> None:
        """Edges left out: they have no parameters of their own, so that this saves none."""
        found.append({"cut": cut, "saves": 0} | paired(changed, losses))

    by_worth = sorted(known["heads"], key=known["heads"].get)
    for n in (1, 2, 4):
        network(f"{n} of 16 heads, the least important", dropped={h: known["means"][h] for h in by_worth[:n]})
    network("previous-token head: a fixed look back", previous=PREVIOUS)
    writer = PREVIOUS[0][1]
    paths("previous-token head: smeared keys for all heads", edges.keys_only(writer, range(model.cfg.n_heads)))
    paths("previous-token head: smeared keys for heads 6 and 7", edges.keys_only(writer, (6, 7)))
    costs = torch.tensor(known["edges"])
    for n in (24, 48, 96):
        kept = torch.ones(costs.numel(), dtype=torch.bool)
        kept[costs.flatten().abs().argsort()[:n]] = False
        paths(f"{n} of 192 edges, the least important", edges.losses(kept.view(costs.shape)))
    value, idle = EDGES.index("value"), edges.all.clone()
    idle[value] = costs[value].abs() > IDLE
    paths(f"{int((~idle).sum())} of 64 virtual heads, idle with patterns frozen", edges.losses(idle))
    none = edges.all.clone()
    none[value] = False
    paths("all 64 virtual heads", edges.losses(none))
    network(f"far keys of {len(known['near'])} heads", near=known["near"])
    network("far keys of all heads", near=list(known["heads"]))
    return found


def cut_network(model, method: str, share: float, known: dict) -> SmallNetwork:
    """A network with this share of the attention's parameters, before healing, by one of `METHODS` or `CONTROLS`."""
    budget, (ranks, moments) = (
        int(share * 4 * model.cfg.n_layers * model.cfg.d_model**2),
        (known["ranks"], known["moments"]),
    )
    if method in (METHODS[0], METHODS[-1]):
        net = small_network(model, ranks[share], PREVIOUS, moments=moments)
        return net if method == METHODS[0] else healing.scrambled(net)
    if method == "random ranks":
        drawn = healing.random_ranks(known["start"], budget, model.cfg.d_model, LADDER)
        return small_network(model, drawn, PREVIOUS, moments=moments)
    if method == "chosen ranks, plain SVD":
        return small_network(model, ranks[share], PREVIOUS)
    if method == "whole heads":
        return healing.by_heads(model, known["heads"], known["means"], budget)
    if method == "magnitude":
        return healing.by_magnitude(model, share)
    return small_network(model, healing.even_ranks(model, budget), moments=moments if method == "even ranks" else None)


def healed(net: SmallNetwork, method: str, lost: float, rows: Int[Tensor, "window pos_and_one"], model) -> SmallNetwork:
    """The network after as many steps on the same texts as all others; the rate follows from what was lost, in nats."""
    rate = 3e-3 if method == "distilled" else 4e-4 if lost < 0.1 else 1e-3
    return healing.heal(net, rows, STEPS, small_network(model), lr=rate, sparse=method == "magnitude")


def unembeddings(model, split: dict[str, Int[Tensor, "window pos_and_one"]]) -> list[dict]:
    """What a smaller rank of the unembedding costs, cut by what it reads or by its plain SVD; two of them healed."""
    whole, rows = small_network(model), split["held out"][SOME]
    final = whole.stream(split["read"][:, :-1]).detach().flatten(0, 1).double()
    second, losses, found = final.T @ final / len(final), whole.window_losses(rows), []
    for rank in UNEMBED_RANKS:
        for weighed in (second, None):
            net = small_network(model, unembed_rank=rank, final_moment=weighed)
            row = {
                "rank": rank,
                "by what is read": weighed is not None,
                "parameters": sum(p.numel() for p in net.unembed),
            }
            found.append(row | {"healed": False} | paired(net.window_losses(rows), losses))
            if weighed is not None and rank in UNEMBED_RANKS[:2]:
                healing.heal(net, split["heal"], STEPS, whole, lr=4e-4, unembedding=True)
                found.append(row | {"healed": True} | paired(net.window_losses(rows), losses))
    return found


def speeds(model, nets: dict[str, SmallNetwork], rows: Int[Tensor, "window pos_and_one"]) -> dict:
    """Tokens a second on one core, by the processor's time, all in the same run; 4 rows at once.

    "unpruned" is the trained network by `training.forward`; each other one is a `FastNetwork`. On two cores, where only
    a clock can measure: `python tests/run.py benchmarks -k smaller`, on a machine that does nothing else.
    """
    fast = {name: FastNetwork(net) for name, net in nets.items()}
    measured = tokens_per_second(model, fast, rows[:4, :-1], 15)
    return {name: {what: round(n) for what, n in each.items()} for name, each in measured.items()}
