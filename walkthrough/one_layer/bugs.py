"""Skip-trigram bugs: what a factored table must say wrongly, found in a model's weights; and its cost in small languages."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.circuits import centred, ov_circuit, qk_circuit
from walkthrough.models import check_head
from walkthrough.one_layer.skip_trigrams import with_and_without
from walkthrough.searches import relative_to


class Bug(NamedTuple):
    """A source whose head helps destination 0 → out 0 and destination 1 → out 1, and so both crossed pairs as well.

    `forced` is what the head adds to the crossed pair that it helps less, in logits, with `<BOS>` and the source to
    choose from. All others are token ids.
    """

    head: int
    source: int
    destinations: tuple[int, int]
    outs: tuple[int, int]
    forced: float

    def pairs(self, crossed: bool) -> list[tuple[int, int]]:
        """The two pairs (destination, out) that the text knows; or the two, crossed, that it does not."""
        return list(zip(self.destinations, self.outs[::-1] if crossed else self.outs))


def search(
    model, counts: Int[Tensor, "first second"], often: int = 5000, seen: int = 100, expected: float = 20.0, k: int = 8
) -> list[Bug]:
    """The strongest bug of each head and source in a one-layer model, the strongest first, from weights and counts.

    Both right pairs were counted at least `seen` times. Both crossed pairs were never counted, though chance would
    give at least `expected`. Tokens come first at least `often` times; outs are among the k that the source raises
    most. Raises ValueError for a model without layers (Elhage et al. 2021, "Skip-trigram 'bugs'").
    """
    check_head(model, 0)
    ids = (counts.sum(1) >= often).nonzero()[:, 0]
    ids = ids[ids != 0]  # <BOS> comes first in every window, and is never predicted
    counted, total = counts[ids][:, ids], counts.sum()
    by_chance = counts.sum(1)[ids, None] * (counts.sum(0)[ids] / total)
    right, wrong = counted >= seen, (counted == 0) & (by_chance >= expected)
    found = []
    for head in range(model.cfg.n_heads):
        qk, ov = relative_to(qk_circuit(model, 0, head)), centred(ov_circuit(model, 0, head))
        looks = (qk.A[ids] @ qk.B[:, ids]).sigmoid()  # [destination source]: the share, were there only <BOS> and it
        raised, outs = (ov.A[ids] @ ov.B[:, ids]).topk(min(k, len(ids)))  # [source out]
        for source in range(len(ids)):
            known, unknown = right[:, outs[source]], wrong[:, outs[source]]
            looking = (looks[:, source, None, None] * (known[:, :, None] & unknown[:, None, :])).max(0)
            forced = (
                looking.values * raised[source]
            )  # [out, other out]: the other one after the first one's destination
            best, place = torch.minimum(forced, forced.T).flatten().max(0)
            if best > 0:
                first, second = divmod(place.item(), len(forced))
                destinations = looking.indices[first, second], looking.indices[second, first]
                outs_found = outs[source, first], outs[source, second]
                tokens = (tuple(ids[x].item() for x in pair) for pair in (destinations, outs_found))
                found.append(Bug(head, ids[source].item(), *tokens, best.item()))
    return sorted(found, key=lambda bug: -bug.forced)


def in_contexts(
    model, found: list[Bug], windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"], n_contexts: int = 64
) -> Float[Tensor, "2 2 bug pair context"]:
    """Log-probabilities in nats of each bug's pairs: right and crossed ones; each with the source and without it."""
    log_probs = torch.zeros(2, 2, len(found), 2, n_contexts)
    for i, bug in enumerate(found):
        for j, destination in enumerate(bug.destinations):
            after = with_and_without(model, bug.source, destination, windows, pool, n_contexts)
            log_probs[:, :, i, j] = torch.stack([after[:, :, bug.outs[j]], after[:, :, bug.outs[1 - j]]])
    return log_probs


def contexts(n_sources: int, most: int) -> Bool[Tensor, "context source"]:
    """Every set of at most `most` sources, one a row; column 0 is `<BOS>`, which is always there."""
    sets = [chosen for size in range(most + 1) for chosen in itertools.combinations(range(1, n_sources + 1), size)]
    return torch.tensor([[source == 0 or source in chosen for source in range(n_sources + 1)] for chosen in sets])


def skip_trigram_logits(
    direct: Float[Tensor, "*batch destination out"], table: Float[Tensor, "*batch source destination out"],
    present: Bool[Tensor, "context source_and_BOS"],
) -> Float[Tensor, "*batch context destination out"]:  # fmt: skip
    """Logits of a table that has an entry for each triple: every source in the context adds its own."""
    added = einsum(present[:, 1:].to(table.dtype), table, "context source, ... source d o -> ... context d o")
    return direct[..., None, :, :] + added


def factored_logits(
    direct: Float[Tensor, "*batch destination out"], scores: Float[Tensor, "*batch head destination source"],
    moved: Float[Tensor, "*batch head source out"], present: Bool[Tensor, "context source"],
) -> Float[Tensor, "*batch context destination out"]:  # fmt: skip
    """Logits of a one-layer model whose heads' QK (`scores`) and OV (`moved`) are free tables, as is the direct path.

    A head's softmax is over the sources that are there, `<BOS>` among them (column 0); destinations do not attend to
    themselves, and there are no positions (Elhage et al. 2021, "One-Layer Attention-Only Transformers").
    """
    pattern = scores[..., None, :, :].masked_fill(~present[:, None, :], -torch.inf).softmax(-1)
    heads = einsum(pattern, moved, "... head context d source, ... head source o -> ... context d o")
    return direct[..., None, :, :] + heads


def fit(
    logits: Callable[..., Tensor], parameters: list[Tensor], log_probs: Tensor, steps: int = 600, lr: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Cost, in nats above the entropy, and log-probabilities after Adam on the exact expected loss.

    `log_probs` [... context destination out] is the language; contexts and destinations are equally likely.
    """
    probs, entropy = log_probs.exp(), -(log_probs.exp() * log_probs).sum(-1).mean((-1, -2))
    free = [parameter.clone().requires_grad_() for parameter in parameters]
    optimiser = torch.optim.Adam(free, betas=(0.9, 0.99))
    with torch.enable_grad():
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = lr * (1 - step / steps)
            optimiser.zero_grad()
            loss = -(probs * logits(*free).log_softmax(-1)).sum(-1).mean((-1, -2))
            loss.sum().backward()
            optimiser.step()
    guess = logits(*free).log_softmax(-1).detach()
    return -(probs * guess).sum(-1).mean((-1, -2)) - entropy, guess


def fit_heads(
    log_probs: Float[Tensor, "language context destination out"], present: Bool[Tensor, "context source"],
    n_heads: int, restarts: int = 3, steps: int = 600, seed: int = 0,
) -> tuple[Float[Tensor, " language"], Float[Tensor, "language context destination out"]]:  # fmt: skip
    """Cost in nats, and log-probabilities, of the best of some fits of `factored_logits`: an upper bound on the least."""
    generator = torch.Generator().manual_seed(seed)
    n_languages, _, n_destinations, n_outs = log_probs.shape
    n_sources = present.shape[1]
    shapes = (n_destinations, n_outs), (n_heads, n_destinations, n_sources), (n_heads, n_sources, n_outs)
    start = [torch.randn(n_languages, restarts, *shape, generator=generator).to(log_probs) for shape in shapes]
    cost, guess = fit(lambda *free: factored_logits(*free, present), start, log_probs[:, None], steps)
    best = cost.min(1)
    return best.values, guess[torch.arange(n_languages), best.indices]


def cost_of_bigrams(log_probs: Float[Tensor, "*batch context destination out"]) -> Float[Tensor, "*batch"]:
    """Cost in nats of knowing the destination only, exactly: what the context tells about the next token."""
    mean = log_probs.exp().mean(-3, keepdim=True)
    return (log_probs.exp() * (log_probs - mean.log())).sum(-1).mean((-1, -2))
