"""Bigram counts against the one table that a zero-layer model is: log-probabilities, KL, losses, low-rank fits."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def conditional(counts: Int[Tensor, "first second"]) -> Float[Tensor, "first second"]:
    """P(second | first) as counted, in float64; a row without counts stays zero.

    Raises ValueError if a count is negative.
    """
    if (counts < 0).any():
        raise ValueError("counts cannot be negative: give how often each pair occurred, not logarithms or differences")
    times = counts.sum(1, keepdim=True)  # how often each token came first
    return counts.double() / times.clamp_min(1)


def bigram_log_probs(
    W_E: Float[Tensor, "d_vocab d_model"], W_U: Float[Tensor, "d_model d_vocab"]
) -> Float[Tensor, "first second"]:
    """Log P(second | first) in nats, from the weights alone.

    Elhage et al. 2021, "Zero-Layer Transformers".
    """
    return (W_E @ W_U).log_softmax(-1)


def row_kl(counts: Int[Tensor, "first second"], log_probs: Float[Tensor, "first second"]) -> Float[Tensor, " first"]:
    """KL(counted || model) of each row in nats; 0 for a row without counts.

    Raises ValueError if the tables differ in shape.
    """
    if counts.shape != log_probs.shape:
        raise ValueError("counts and log_probs must be tables of the same shape")
    seen, truth = counts > 0, conditional(counts)
    terms = torch.zeros_like(truth)
    terms[seen] = truth[seen] * (truth[seen].log() - log_probs[seen])
    return terms.sum(1)


def loss_on_counts(counts: Int[Tensor, "first second"], log_probs: Float[Tensor, "first second"]) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of the pairs counted; infinite if one of them has probability 0.

    Raises ValueError if the tables differ in shape, or if nothing was counted.
    """
    if counts.shape != log_probs.shape or counts.sum() == 0:
        raise ValueError("give two tables of the same shape, with at least one pair counted")
    first, second = counts.nonzero(as_tuple=True)  # few of all pairs
    return -(counts[first, second] * log_probs[first, second].double()).sum() / counts.sum()


def smoothed(counts: Int[Tensor, "first second"], strength: int) -> Float[Tensor, "first second"]:
    """P(second | first) after adding `strength` imaginary tokens to each row, spread as tokens are overall.

    Overall, each token counts once more than it came. So every pair becomes possible, and the table can be scored on new
    text. Raises ValueError unless strength > 0.
    """
    if strength <= 0:
        raise ValueError(f"strength must be above zero, not {strength}: it counts the imaginary tokens of each row")
    overall = (counts.sum(0).double() + 1) / (counts.sum() + len(counts))
    return (counts + strength * overall) / (counts.sum(1, keepdim=True) + strength)


def fit_low_rank(
    counts: Int[Tensor, "first second"], d_model: int, seed: int = 0, steps: int = 500
) -> tuple[Float[Tensor, "first d_model"], Float[Tensor, "d_model second"]]:
    """W_E and W_U whose softmax fits a table of counts well, by Adam; ValueError unless d_model is positive.

    What falls is the mean cross-entropy of the pairs counted. The seed fixes the random start. Its gradient is written
    out, since autograd takes two to six times as long here: of the logits, it is what the softmax says less what was
    counted, and W_E and W_U pass it on to one another.
    """
    if d_model < 1:
        raise ValueError(f"d_model must be at least 1, not {d_model}")
    share, generator = counts / counts.sum(), torch.Generator().manual_seed(seed)
    of_first = share.sum(1, keepdim=True)
    W_E = torch.randn(counts.shape[0], d_model, generator=generator) / d_model**0.5
    W_U = torch.randn(d_model, counts.shape[1], generator=generator)
    optimiser = torch.optim.Adam([W_E, W_U], betas=(0.9, 0.99), fused=True)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        error = of_first * bigram_log_probs(W_E, W_U).exp() - share
        W_E.grad, W_U.grad = error @ W_U.T, W_E.T @ error
        optimiser.step()
    return W_E, W_U
