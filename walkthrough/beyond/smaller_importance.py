"""What a two-layer model can miss: ranks, one after the other, and single edges from a head of layer 0 to one of layer 1."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough import behaviour
from walkthrough.architecture import EVERYTHING, leaves_out
from walkthrough.beyond.smaller import Circuit
from walkthrough.beyond.smaller_network import Head, small_network

LADDER = (32, 24, 16, 12, 8, 4)  # ranks that a circuit steps down
EDGES = ("query", "key", "value")  # by which a head of layer 1 can read one of layer 0


def rank_costs(
    model, rows: Int[Tensor, "window pos_and_one"], ranks: Mapping[Circuit, int], previous: Collection[Head],
    moments: Mapping[Circuit, tuple], ladder: Sequence[int] = LADDER,
) -> tuple[float, dict[Circuit, float]]:  # fmt: skip
    """The loss in nats of a network with these ranks, and by how much it rises if one circuit steps down the ladder.

    Circuits on the lowest step are left out.
    """
    loss = lambda changed: small_network(model, changed, previous, moments=moments).window_losses(rows).mean().item()
    base, below = loss(ranks), dict(pairwise(ladder))
    return base, {c: loss({**ranks, c: below[rank]}) - base for c, rank in ranks.items() if rank in below}


def cut_step_by_step(
    measured: Callable[[dict[Circuit, int]], tuple[float, dict[Circuit, float]]], ranks: Mapping[Circuit, int],
    d_model: int, budgets: Sequence[int], at_once: int = 20_000, ladder: Sequence[int] = LADDER,
) -> list[dict]:  # fmt: skip
    """Ranks for each budget of numbers, falling, reached by cutting again and again what costs least for what it saves.

    Each round measures every circuit's next step (`rank_costs`) with all others as they are by then, since costs do not
    add, and takes the cheapest steps until `at_once` numbers are saved. Rounds are told as {"numbers", "loss", "ranks"}, the
    loss being that before the round's cuts, and None in those that meet a budget. Raises ValueError if a budget cannot
    be met.
    """
    ranks, below, rounds = dict(ranks), dict(pairwise(ladder)), []
    numbers = lambda: 2 * d_model * sum(ranks.values())
    for budget in budgets:
        while numbers() > budget:
            loss, costs = measured(ranks)
            if not costs:
                raise ValueError(f"the smallest ranks need {numbers()} numbers, more than {budget}: allow more")
            rounds.append({"numbers": numbers(), "loss": loss, "ranks": dict(ranks)})
            saves = {c: 2 * d_model * (ranks[c] - below[ranks[c]]) for c in costs}
            goal = max(budget, numbers() - at_once)
            for circuit in sorted(costs, key=lambda c: costs[c] / saves[c]):
                if numbers() <= goal:
                    break
                ranks[circuit] = below[ranks[circuit]]
        rounds.append({"numbers": numbers(), "loss": None, "ranks": dict(ranks)})
    return rounds


def mean_outputs(model, tokens: Int[Tensor, "window pos"]) -> dict[Head, Float[Tensor, " d_model"]]:
    """What each head adds to the stream, on average over all positions of these texts: for `small_network`'s `dropped`."""
    _, cache = model.run_with_cache(tokens)
    return {
        (layer, head): cache["z", layer][:, :, head].mean((0, 1)) @ model.W_O[layer, head]
        for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)
    }  # fmt: skip


class Edges:
    """The loss of a two-layer model in which single edges are cut; patterns follow.

    An edge leads what a head of layer 0 wrote to the query, the key or the value of a head of layer 1, or directly to
    the logits. Where it is cut, the writer's mean over all positions of these texts stands in (mean ablation). Raises
    ValueError for a model that has not two layers.
    """

    @leaves_out(*EVERYTHING, instead="use a model of attention alone, as the course's are")
    def __init__(self, model, rows: Int[Tensor, "window pos_and_one"]):
        if model.cfg.n_layers != 2:
            raise ValueError(
                f"edges here lead from layer 0 to layer 1: use a model of 2 layers, not {model.cfg.n_layers}"
            )
        self.model, self.rows = model, rows.long()
        names = ["blocks.0.attn.hook_z", "blocks.1.hook_resid_pre"]
        _, cache = model.run_with_cache(self.rows[:, :-1], names_filter=names)
        written = einsum(
            cache["z", 0], model.W_O[0], "window pos write d_head, write d_head d_model -> write window pos d_model"
        )
        self.resid, self.varying = cache["resid_pre", 1], written - written.mean((1, 2), keepdim=True)
        n = model.cfg.n_heads
        self.all, self.directly = torch.ones(3, n, n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)

    def stream_of(self, kept: Bool[Tensor, " write"]) -> Float[Tensor, "window pos d_model"]:
        """The stream between the layers, with only the means of writers that are not kept."""
        return self.resid - self.varying[~kept].sum(0)

    def losses(
        self, kept: Bool[Tensor, "edge write read"] | None = None, directly: Bool[Tensor, " write"] | None = None
    ) -> Float[Tensor, " window"]:
        """Mean loss of each window in nats with only the edges that are kept; `kept` is by `EDGES`, all if None."""
        model, kept = self.model, self.all if kept is None else kept
        n_pos = self.resid.shape[1]
        masked = torch.ones(n_pos, n_pos, dtype=torch.bool).triu(1)
        final = self.stream_of(self.directly if directly is None else directly)
        for head in range(model.cfg.n_heads):
            to_query, to_key, to_value = (self.stream_of(kept[edge, :, head]) for edge in range(3))
            q = (to_query + model.W_pos[:n_pos]) @ model.W_Q[1, head] / model.cfg.d_head**0.5
            k = (to_key + model.W_pos[:n_pos]) @ model.W_K[1, head]
            pattern = (q @ k.mT).masked_fill(masked, -torch.inf).softmax(-1)
            final = final + pattern @ (to_value @ model.W_V[1, head]) @ model.W_O[1, head]
        return behaviour.loss_per_position(final @ model.W_U, self.rows).mean(-1)

    def costs(self) -> Float[Tensor, "edge write read"]:
        """Nats that cutting each single edge into layer 1 costs, all others being there."""
        whole, found = self.losses().mean(), torch.empty(self.all.shape)
        for at in self.all.nonzero():
            kept = self.all.clone()
            kept[tuple(at)] = False
            found[tuple(at)] = self.losses(kept).mean() - whole
        return found

    def keys_only(self, writer: int, readers: Sequence[int]) -> Float[Tensor, " window"]:
        """Losses if a head of layer 0 reaches nothing but the keys of some heads of layer 1.

        With a previous-token head as the writer, these are smeared keys: x_j W_K + x_{j-1} W_V W_O W_K and no head.
        """
        kept, directly = self.all.clone(), self.directly.clone()
        kept[:, writer], directly[writer] = False, False
        kept[EDGES.index("key"), writer, list(readers)] = True
        return self.losses(kept, directly)
