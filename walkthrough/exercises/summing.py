"""Answers and mistakes of exercises on sums: the parts of a layer, and the direct path."""

import torch
from torch import Tensor


def random_tensor(*shape: int, seed: int) -> Tensor:
    """Random numbers without symmetries."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer_slowly(z: Tensor, W_O: Tensor) -> Tensor:
    """One head, prompt and position at a time."""
    n_batch, n_pos, n_heads, _ = z.shape
    rows = [z[b, p, h] @ W_O[h] for h in range(n_heads) for b in range(n_batch) for p in range(n_pos)]
    return torch.stack(rows).view(n_heads, n_batch, n_pos, -1)


LAYER_MISTAKES = {
    "that is their sum, what the whole layer adds: keep one entry for each head":
        lambda z, W_O: layer_slowly(z, W_O).sum(0),
    "the parts are right, but the axes are in another order: head, batch, pos, d_model":
        lambda z, W_O: layer_slowly(z, W_O).permute(1, 2, 0, 3),
    "the parts are right, but the head axis comes second: put it first, before the batch":
        lambda z, W_O: layer_slowly(z, W_O).transpose(0, 1),
    "the axes were renamed by a reshape, which moves no number: use einsum, permute or rearrange":
        lambda z, W_O: layer_slowly(z, W_O).permute(1, 2, 0, 3).reshape(len(W_O), *z.shape[:2], -1),
    "every head was multiplied by the W_O of head 0: each has its own":
        lambda z, W_O: torch.stack([z[:, :, h] @ W_O[0] for h in range(len(W_O))]),
    "the z of all heads were added up before their own W_O could act":
        lambda z, W_O: torch.stack([z.sum(2) @ W for W in W_O]),
    "every z was multiplied by the sum of all W_O: head h has W_O[h] only":
        lambda z, W_O: torch.stack([z[:, :, h] @ W_O.sum(0) for h in range(len(W_O))]),
    "that is the mean over the heads: keep one entry for each head":
        lambda z, W_O: layer_slowly(z, W_O).mean(0),
    "only the first prompt of the batch: keep them all":
        lambda z, W_O: layer_slowly(z, W_O)[:, 0],
    "only the last position: a head adds to the stream at every position":
        lambda z, W_O: layer_slowly(z, W_O)[:, :, -1],
    "each head has the parts of the heads before it added in: keep what it adds itself":
        lambda z, W_O: layer_slowly(z, W_O).cumsum(0),
}  # fmt: skip


def direct_slowly(tokens: Tensor, W_E: Tensor, W_U: Tensor) -> Tensor:
    """One token and one logit at a time."""
    rows = [[W_E[token] @ W_U[:, out] for out in range(W_U.shape[1])] for token in tokens.flatten().tolist()]
    return torch.tensor(rows).view(*tokens.shape, -1)


DIRECT_MISTAKES = {
    "the unembedding is W_U, a matrix of its own, and not the embedding turned round":
        lambda tokens, W_E, W_U: W_E[tokens] @ W_E.T,
    "that is the table of all tokens: take the rows of the tokens in the prompt":
        lambda tokens, W_E, W_U: W_E @ W_U,
    "the table is read the wrong way round: its rows are the tokens that are there, its columns those to come":
        lambda tokens, W_E, W_U: (W_E @ W_U).T[tokens],
    "those are probabilities: logits are asked for, so leave out the softmax":
        lambda tokens, W_E, W_U: direct_slowly(tokens, W_E, W_U).softmax(-1),
    "those are log-probabilities: logits are asked for, so leave out the softmax":
        lambda tokens, W_E, W_U: direct_slowly(tokens, W_E, W_U).log_softmax(-1),
    "those are logits above their mean: here the logits themselves are asked for":
        lambda tokens, W_E, W_U: direct_slowly(tokens, W_E, W_U - W_U.mean(-1, keepdim=True)),
    "only the last position: every position has logits of its own":
        lambda tokens, W_E, W_U: direct_slowly(tokens, W_E, W_U)[..., -1, :],
    "only the first prompt of the batch: keep them all":
        lambda tokens, W_E, W_U: direct_slowly(tokens, W_E, W_U)[0],
    "the tokens of a prompt were added up: the direct path of a position sees its own token only":
        lambda tokens, W_E, W_U: direct_slowly(tokens, W_E, W_U).sum(-2),
    "the tokens before were added in: the direct path of a position sees its own token only":
        lambda tokens, W_E, W_U: direct_slowly(tokens, W_E, W_U).cumsum(-2),
    "each position has the logits of the token before it: its own token is its embedding":
        lambda tokens, W_E, W_U: direct_slowly(tokens.roll(1, -1), W_E, W_U),
    "that is the embedding: W_U has still to turn it into logits":
        lambda tokens, W_E, W_U: W_E[tokens],
}  # fmt: skip
