"""Training what is left of a network that was cut, and the cuts that one would make without knowing what is read."""

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from walkthrough.beyond.smaller import Circuit
from walkthrough.beyond.smaller_network import Head, SmallNetwork, small_network

WARM_UP = 20  # steps


def heal(
    net: SmallNetwork, rows: Int[Tensor, "window pos_and_one"], steps: int, teacher: SmallNetwork, batch: int = 4,
    lr: float = 1e-3, sparse: bool = False, unembedding: bool = False,
) -> SmallNetwork:  # fmt: skip
    """Train a network's layers by Adam on the first steps x batch rows to predict as its teacher does; the same network.

    The loss is `divergence`; the learning rate falls to 0. `sparse` keeps numbers that are 0 at 0; `unembedding` trains
    that too. Embeddings stay the model's own. Raises ValueError if there are too few rows.
    """
    if len(rows) < steps * batch:
        raise ValueError(f"{steps} steps of {batch} rows need {steps * batch} rows, but there are {len(rows)}")
    net.embed.requires_grad_(False)
    net.unembed.requires_grad_(unembedding)
    learnt = [p for p in net.parameters() if p.requires_grad and p.numel()]
    masks = [p.detach() != 0 for p in learnt] if sparse else []
    adam = torch.optim.Adam(learnt, lr=lr, betas=(0.9, 0.98))
    for step, part in enumerate(rows[: steps * batch].long().split(batch)):
        adam.param_groups[0]["lr"] = lr * min(1, (step + 1) / WARM_UP) * (1 - step / steps)
        adam.zero_grad()
        divergence(net, teacher, part[:, :-1]).backward()
        for p, mask in zip(learnt, masks):
            p.grad *= mask
        nn.utils.clip_grad_norm_(learnt, 1.0)
        adam.step()
    return net


def divergence(net: SmallNetwork, teacher: SmallNetwork, tokens: Int[Tensor, "batch pos"]) -> Tensor:
    """The mean KL divergence of a network's predictions from its teacher's, in nats (Hinton et al. 2015, distillation)."""
    with torch.no_grad():
        wanted = teacher(tokens).log_softmax(-1).flatten(0, 1)
    return F.kl_div(net(tokens).log_softmax(-1).flatten(0, 1), wanted, reduction="batchmean", log_target=True)


def by_magnitude(model, share: float) -> SmallNetwork:
    """The whole network with all but this share of each attention matrix set to 0: the smallest numbers go."""
    net = small_network(model)
    with torch.no_grad():
        for matrix in (weights for layer in net.layers for weights in (layer.q, layer.k, layer.v, layer.o)):
            sizes = torch.cat([p.abs().flatten() for p in matrix])
            if drop := len(sizes) - round(share * len(sizes)):
                least = sizes.kthvalue(drop).values
                for p in matrix:
                    p[p.abs() <= least] = 0
    return net


def even_ranks(model, budget: int) -> dict[Circuit, int]:
    """The largest rank that all circuits can have alike within a budget of numbers; ValueError if there is none."""
    circuits = [(kind, layer, head) for kind in ("QK", "OV") for layer in range(model.cfg.n_layers)
                for head in range(model.cfg.n_heads)]  # fmt: skip
    rank = min(budget // (2 * model.cfg.d_model * len(circuits)), model.cfg.d_head)
    if rank < 1:
        raise ValueError(f"{budget} numbers are too few for {len(circuits)} circuits of rank 1: allow more")
    return dict.fromkeys(circuits, rank)


def random_ranks(ranks: dict[Circuit, int], budget: int, d_model: int, ladder: tuple[int, ...], seed: int = 0) -> dict:
    """Ranks for the same budget by steps down the ladder of circuits drawn at random: a control for chosen ones.

    Raises ValueError if the budget cannot be met.
    """
    ranks, generator = dict(ranks), torch.Generator().manual_seed(seed)
    while 2 * d_model * sum(ranks.values()) > budget:
        open_to = [circuit for circuit, rank in ranks.items() if rank > ladder[-1]]
        if not open_to:
            raise ValueError(f"at rank {ladder[-1]} all circuits together still need more than {budget} numbers")
        drawn = open_to[torch.randint(len(open_to), (), generator=generator)]
        ranks[drawn] = ladder[ladder.index(ranks[drawn]) + 1]
    return ranks


def by_heads(model, costs: dict[Head, float], means: dict[Head, Tensor], budget: int) -> SmallNetwork:
    """Whole heads dropped, those that cost least first, and their means put in their place, until the budget is met."""
    each, constants = 4 * model.cfg.d_model * model.cfg.d_head, model.cfg.n_layers * model.cfg.d_model
    dropped = sorted(costs, key=costs.get)[: len(costs) - (budget - constants) // each]
    return small_network(model, dropped={head: means[head] for head in dropped})


def scrambled(net: SmallNetwork, seed: int = 0) -> SmallNetwork:
    """The same shape and embeddings with random heads, of the sizes that training begins with: a student."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in net.layers:
            for weights, size in (
                (layer.q, 1 / 32**0.5),
                (layer.k, 1.0),
                (layer.v, 1.0),
                (layer.o, len(net.layers) ** -0.5),
            ):
                for p in weights:
                    p.copy_(torch.randn(p.shape, generator=generator) * size * p.shape[1] ** -0.5)
    return net
