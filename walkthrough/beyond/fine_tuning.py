"""Taking a bias away by gradient descent, to compare with an edit in closed form; undone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import kl_div

from walkthrough.beyond.faithful import Twins, end_log_probs, term_rise
from walkthrough.interventions import Head
from walkthrough.models import check_head


class Tuned(NamedTuple):
    """How a fine-tuning went: steps, tokens read, and the mean rise in nats left in contexts that it did not learn from."""

    steps: int
    tokens: int
    rise: float


@contextmanager
def trainable(model, head: Head | None = None) -> Iterator[list[Tensor]]:
    """Inside the `with`, all heads' weights can be trained, or one head's W_V; after it they are as before, to the bit.

    Raises ValueError for a head that the model does not have.
    """
    if head is None:
        parts = [getattr(block.attn, name).weight for block in model.blocks for name in "qkvo"]
    else:
        layer, number = head
        check_head(model, layer, number)
        parts = [model.blocks[layer].attn.v.weight]
        own = torch.zeros(len(parts[0]), 1)
        own[number * model.cfg.d_head : (number + 1) * model.cfg.d_head] = 1
    kept, hooks = [part.detach().clone() for part in parts], []
    try:
        weights = [part.requires_grad_() for part in parts]
        if head is not None:
            hooks.append(parts[0].register_hook(lambda gradient: gradient * own))
        yield weights
    finally:
        for hook in hooks:
            hook.remove()
        for part, before in zip(parts, kept):
            part.requires_grad_(False)
            part.data.copy_(before)


def fine_tune(
    model, weights: list[Tensor], twins: Twins, watched: Twins, out: int, goal: float,
    text: Int[Tensor, "window pos"] | None = None, batch: int = 32, most: int = 400, lr: float = 3e-5, keep: float = 10.0, every: int = 5,
) -> Tuned:  # fmt: skip
    """Adam on a term's squared rise in batches of `twins`, until its mean in `watched` is brought to `goal` nats.

    The mean is looked at `every` few steps. With `text`, what the model says there is to stay: `keep` times the
    divergence from its own former predictions on two windows, in nats a token, is added to the loss. To be called
    inside `trainable`. Where `most` steps are not enough, the rise that is returned is above the goal. Raises ValueError
    for fewer steps than it takes to look once.
    """
    if most < every:
        raise ValueError(f"{most} steps are over before anybody looks, after {every}: allow more, or look more often")
    adam, n_tokens = torch.optim.Adam(weights, lr=lr), 0
    former = None if text is None else [model(part).log_softmax(-1).detach() for part in text.split(2)]
    for step in range(1, most + 1):
        some = torch.arange(step * batch, (step + 1) * batch) % len(twins.given)
        with torch.enable_grad():
            given, without = (end_log_probs(model, part[some])[:, out] for part in (twins.given, twins.without))
            loss = (given - without.detach()).square().mean()
            n_tokens += twins.given[some].numel() * 2
            if former is not None:
                at = step % len(former)
                now = model(text.split(2)[at]).log_softmax(-1)
                loss = loss + keep * kl_div(now, former[at], log_target=True, reduction="none").sum(-1).mean()
                n_tokens += text.split(2)[at].numel()
            adam.zero_grad()
            loss.backward()
            adam.step()
        if step % every == 0:
            left = term_rise(model, watched, out).mean().item()
            if left <= goal:
                break
    return Tuned(step, n_tokens, left)
