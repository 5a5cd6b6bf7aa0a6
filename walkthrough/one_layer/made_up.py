"""Made-up languages of sources, destinations and outs, and what a model of few heads must lose on them, exactly."""

import itertools
from collections.abc import Callable

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor


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
