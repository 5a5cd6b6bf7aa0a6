"""Taking a bias away by gradient descent, to compare with an edit in closed form; undone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import kl_div

from walkthrough.beyond.faithful import Twins, end_log_probs, term_rise


class Tuned(NamedTuple):
    """How a fine-tuning went: its steps, the tokens it read, and the mean rise in nats that it left in its own contexts."""

    steps: int
    tokens: int
    rise: float


@contextmanager
def trainable(model) -> Iterator[list[Tensor]]:
    """Inside the `with`, W_Q, W_K, W_V and W_O of all heads can be trained; after it they are as before, to the bit."""
    parts = [getattr(block.attn, name).weight for block in model.blocks for name in "qkvo"]
    kept = [part.detach().clone() for part in parts]
    try:
        yield [part.requires_grad_() for part in parts]
    finally:
        for part, before in zip(parts, kept):
            part.requires_grad_(False)
            part.data.copy_(before)


def fine_tune(
    model, weights: list[Tensor], twins: Twins, out: int, goal: float, text: Int[Tensor, "window pos"] | None = None,
    batch: int = 32, most: int = 400, lr: float = 3e-5,
) -> Tuned:  # fmt: skip
    """Adam on a term's squared rise until its mean, in batches of contexts, has been brought to `goal` nats.

    With `text`, what the model says there is to stay: the divergence from its own former predictions on a batch of
    windows is added to the loss, in nats a token. To be called inside `trainable`. Raises ValueError if the goal is not
    reached in `most` steps.
    """
    adam, n_tokens = torch.optim.Adam(weights, lr=lr), 0
    former = None if text is None else [model(part).log_softmax(-1).detach() for part in text.split(2)]
    for step in range(1, most + 1):
        some = torch.arange(step * batch, (step + 1) * batch) % len(twins.given)
        part = Twins(*(each[some] for each in twins))
        with torch.enable_grad():
            given, without = (end_log_probs(model, prompts)[:, out] for prompts in (part.given, part.without))
            loss = (given - without.detach()).square().mean()
            n_tokens += part.given.numel() * 2
            if former is not None:
                at = step % len(former)
                now = model(text.split(2)[at]).log_softmax(-1)
                loss = loss + 10 * kl_div(now, former[at], log_target=True, reduction="none").sum(-1).mean()
                n_tokens += text.split(2)[at].numel()
            adam.zero_grad()
            loss.backward()
            adam.step()
        left = term_rise(model, part, out).mean().item()
        if left <= goal:
            return Tuned(step, n_tokens, left)
    raise ValueError(
        f"{most} steps left a mean rise of {left:.2f} nats, above the goal of {goal:.2f}: allow more steps"
    )
