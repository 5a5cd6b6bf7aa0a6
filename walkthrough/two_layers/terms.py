"""What a term of a sum is worth: logits or losses in, nats out, and no model."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from walkthrough.paths import layer_output


def two_worths(
    direct: Float[Tensor, "pos d_vocab"], heads: Float[Tensor, "head pos d_vocab"], targets: Int[Tensor, " pos"]
) -> Float[Tensor, "head 2"]:  # fmt: skip
    """Nats by which each head lowers the mean loss: alone, over the direct path; given all others.

    From logits, path by path (Elhage et al. 2021, "Term Importance Analysis": the marginal effect).
    """
    full = direct + heads.sum(0)
    worths = []
    for head in heads:
        alone = cross_entropy(direct, targets) - cross_entropy(direct + head, targets)
        given_the_others = cross_entropy(full - head, targets) - cross_entropy(full, targets)
        worths.append(torch.stack([alone, given_the_others]))
    return torch.stack(worths)


def term_slope(
    logits: Float[Tensor, "pos d_vocab"], term: Float[Tensor, "pos d_vocab"], targets: Int[Tensor, " pos"]
) -> Float[Tensor, " pos"]:  # fmt: skip
    """How fast the loss changes, in nats, as a term's logits begin to be added to `logits`.

    It is what the term gives to the average token, less what it gives to the target.
    """
    expected = (logits.softmax(-1) * term).sum(-1)
    at_target = term.gather(-1, targets[:, None])[:, 0]
    return expected - at_target


def leaving_out(
    full: Float[Tensor, "pos d_vocab"], term: Float[Tensor, "pos d_vocab"], targets: Int[Tensor, " pos"]
) -> Float[Tensor, "pos 2"]:  # fmt: skip
    """How the loss changes, in nats, if a term is left out of the full sum: slope, and curvature.

    To leave it out is to add minus the term to the full sum.
    """
    before = cross_entropy(full, targets, reduction="none")
    after = cross_entropy(full - term, targets, reduction="none")
    slope = term_slope(full, -term, targets)
    return torch.stack([slope, after - before - slope], dim=1)


def upto_order(
    order: int, embed: Float[Tensor, "pos d_model"], patterns: Float[Tensor, "layer head query key"],
    W_V: Float[Tensor, "layer head d_model d_head"], W_O: Float[Tensor, "layer head d_head d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, "pos d_vocab"]:  # fmt: skip
    """Logits of all paths through at most `order` heads (Elhage et al. 2021, "Term Importance")."""
    passed_on = [torch.zeros_like(embed) for _ in patterns]  # one for each layer
    for _ in range(order):
        stream, kept = embed, []
        for layer in range(len(patterns)):
            kept.append(layer_output(patterns[layer], stream, W_V[layer], W_O[layer]))
            stream = stream + passed_on[layer]
        passed_on = kept
    return (embed + sum(passed_on)) @ W_U


def difference_of_wins(
    before_a: Float[Tensor, "window pos"], after_a: Float[Tensor, "window pos"],
    before_b: Float[Tensor, "window pos"], after_b: Float[Tensor, "window pos"],
) -> Float[Tensor, "2"]:  # fmt: skip
    """How much more model a wins by a step than model b, and the standard error over windows."""
    win_a = (before_a - after_a).mean(1)
    win_b = (before_b - after_b).mean(1)
    differences = win_a - win_b
    error = differences.std() / len(differences) ** 0.5
    return torch.stack([differences.mean(), error])
