"""A head as a force between tokens: W_OV says which way a token is moved, W_QK by whom.

Token i stands at x_i. A head adds the sum over j of A_ij x_j W_V W_O: every token j that it looks at pulls with a force
of its own. On the sphere only the part at right angles to x_i moves it; the part along x_i makes it longer or shorter.
With W_V W_O the identity, each force points straight at x_j, which is the dynamics of `walkthrough.beyond.particles`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import leaves_out
from walkthrough.beyond.cosines import mean_cosine, unit_vectors
from walkthrough.circuits import eigenvalue_positivity
from walkthrough.models import check_head
from walkthrough.paths import layer_parts


def force_in_three(
    force: Float[Tensor, " d_model"], token: Float[Tensor, " d_model"], sender: Float[Tensor, " d_model"]
) -> Float[Tensor, "part d_model"]:
    """A force as a sum of three: along the token itself, on the way to the sender, and sideways.

    The way is the sender's part at right angles to the token. A sender in the token's own
    direction, in the opposite one, or of length zero, has no way: then the second part is zero.
    """
    up = token / token.norm()
    along = (force @ up) * up
    way = sender - (sender @ up) * up
    towards = torch.zeros_like(force)
    if way.norm() > 1e-6 * sender.norm():  # what rounding leaves of a way has no meaning
        towards = (force @ way) * way / way.square().sum()
    return torch.stack([along, towards, force - along - towards])


def pull(
    moved: Float[Tensor, "*head key d_model"], x: Float[Tensor, "pos d_model"]
) -> Float[Tensor, "*head query key"]:  # fmt: skip
    """Whether what a token sends moves another one towards the sender: from -1 (straight away) to +1 (straight towards
    it).

    The cosine, on the sphere at the query, between the force and the way to the key. A token's pull on itself is 0.
    With `moved` equal to x, W_OV the identity, all others are +1 (arXiv 2312.10794, section 2).
    """
    u = unit_vectors(x)
    between = u @ u.T  # [query key]
    along = u @ moved.mT  # [query key] with the heads in front
    own = (moved * u).sum(-1)[..., None, :]
    force = (moved.square().sum(-1)[..., None, :] - along.square()).clamp(min=0).sqrt()
    way = (1 - between.square()).clamp(min=0).sqrt()
    found = (own - along * between) / (force * way).clamp(min=1e-9)
    return found.clamp(-1, 1) * (1 - torch.eye(len(x)))


def mean_pull(pattern: Float[Tensor, "*head query key"], pulls: Float[Tensor, "*head query key"]) -> Tensor:
    """The pull averaged over all pairs of different tokens, each counted by its attention; `<BOS>`, the first, is left
    out.
    """
    weights = pattern * (1 - torch.eye(pattern.shape[-1]))
    weights[..., 0] = 0
    return (weights * pulls).sum((-2, -1)) / weights.sum((-2, -1)).clamp(min=1e-9)


def force_shares(
    pattern: Float[Tensor, "query key"], moved: Float[Tensor, "key d_model"], x: Float[Tensor, "pos d_model"]
) -> tuple[float, float, float]:
    """Of the squared force between different tokens: the shares along the token itself, on the way to the sender, and
    sideways.

    The first turns nothing, the second attracts or repels, the third moves the token neither nearer nor further. They
    add up to 1; random directions give about 1 / d_model, 1 / d_model and the rest. `<BOS>`, the first, is left out.
    """
    squares = (pattern * (1 - torch.eye(len(x)))).square()[1:, 1:]
    lengths = moved.square().sum(-1)[None, 1:]
    along = (unit_vectors(x) @ moved.T).square()[1:, 1:]  # [query key]
    way = pull(moved, x).square()[1:, 1:] * (lengths - along)
    total = (squares * lengths).sum()
    radial, towards = ((squares * part).sum() / total for part in (along, way))
    return radial.item(), towards.item(), (1 - radial - towards).item()


def kernel_parts(
    W_Q: Float[Tensor, "d_model d_head"], W_K: Float[Tensor, "d_model d_head"]
) -> tuple[float, float]:  # fmt: skip
    """Of the kernel W_Q W_K^T: how positive its symmetric part is, and how much of its square that part is.

    The first runs from -1 to +1, sum over sum of sizes of the eigenvalues: +1 for a kernel that is positive
    (semi)definite, as in the theorems, where like attends to like. The second runs from 0 to 1; 1/2 for a random
    kernel.
    """
    Q, K = W_Q.double(), W_K.double()
    reduced = torch.linalg.qr(
        torch.cat([Q, K], 1), mode="r"
    ).R  # eigenvalues other than 0 need these few dimensions only
    left, right = reduced[:, : Q.shape[1]], reduced[:, Q.shape[1] :]
    values = torch.linalg.eigvalsh((left @ right.T + right @ left.T) / 2)
    whole = ((Q.T @ Q) * (K.T @ K)).sum()
    return (values.sum() / values.abs().sum()).item(), (values.square().sum() / whole).item()


def like_gain(
    read: Float[Tensor, "pos d_model"], W_Q: Float[Tensor, "d_model d_head"], W_K: Float[Tensor, "d_model d_head"]
) -> float:
    """Score of a token with itself above that with another of the text, on average, without positions; in softmax
    units.
    """
    scores = read @ W_Q @ (read @ W_K).T / W_Q.shape[1] ** 0.5
    n = len(read)
    own = scores.diagonal().sum()
    return (own / n - (scores.sum() - own) / (n * (n - 1))).item()


@leaves_out("writes")
def messages(model, cache, layer: int, head: int) -> Float[Tensor, "text key d_model"]:
    """What each token sends to whatever looks at it through a head: its value times W_O."""
    values = cache["v", layer]
    return values[:, :, head // (model.cfg.n_heads // values.shape[2])] @ model.W_O[layer, head]


def heads_read(model, cache, layer: int) -> Float[Tensor, "text pos d_model"]:
    """What the heads of a layer read, without positions: the stream, or the LayerNorm of it."""
    normed = model.cfg.normalization_type is not None
    return cache[f"blocks.{layer}.ln1.hook_out"] if normed else cache["resid_pre", layer]


class Factors(NamedTuple):
    """A matrix as the product of two, as `walkthrough.circuits` takes it."""

    A: Tensor
    B: Tensor


@leaves_out("writes")
def weights_of(model, layer: int, head: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W_Q, W_K, W_V and W_O of a head, also where several heads share their keys and values.

    A gain of a norm before the layer counts to W_V.
    """
    check_head(model, layer, head)
    shared = head // (model.cfg.n_heads // model.W_K.shape[1])
    W_V = model.W_V[layer, shared]
    if model.cfg.normalization_type is not None:
        W_V = model.blocks[layer].ln1.weight[:, None] * W_V
    return model.W_Q[layer, head], model.W_K[layer, shared], W_V, model.W_O[layer, head]


@leaves_out("writes", "scores")
@torch.no_grad()
def force_table(model, tokens: Int[Tensor, "text pos"]) -> dict[str, Float[Tensor, "layer head"]]:
    """Every head as a force, on average over texts that begin with `<BOS>`: for any bridge.

    "positivity" is that of the eigenvalues of W_V W_O, from the stream to the stream; "copying" that of W_E W_V W_O
    W_U, from tokens to tokens; "own" the attention that a token pays to itself; "kernel", "symmetric" and "like" of
    W_QK; "pull" of what tokens send, and "radial", "towards" and "sideways", the shares of its square; "size" of the
    head's output, as a share of the stream's length; and "change" of the mean cosine when the head's output alone is
    added. `<BOS>` is neither moved nor counted as pulling.
    """
    cache, found = model.run_with_cache(tokens)[1], {}
    for layer in range(model.cfg.n_layers):
        x, read = cache["resid_pre", layer], heads_read(model, cache, layer)
        added = layer_parts(cache["z", layer], model.W_O[layer])  # [head text pos d_model]
        before = mean_cosine(x[:, 1:])
        for head in range(model.cfg.n_heads):
            W_Q, W_K, W_V, W_O = weights_of(model, layer, head)
            moved, pattern = messages(model, cache, layer, head), cache["pattern", layer][:, head]
            kernel, symmetric = kernel_parts(W_Q, W_K)
            texts = range(len(tokens))
            shares = torch.tensor([force_shares(pattern[t], moved[t], x[t]) for t in texts]).mean(0).tolist()
            row = {
                "positivity": eigenvalue_positivity(Factors(W_V, W_O)).item(),
                "copying": eigenvalue_positivity(Factors(model.W_E @ W_V, W_O @ model.W_U)).item(),
                "own": pattern.diagonal(dim1=1, dim2=2)[:, 1:].mean().item(),
                "kernel": kernel, "symmetric": symmetric,
                "like": sum(like_gain(read[t, 1:], W_Q, W_K) for t in texts) / len(texts),
                "pull": sum(mean_pull(pattern[t], pull(moved[t], x[t])).item() for t in texts) / len(texts),
                **dict(zip(("radial", "towards", "sideways"), shares)),
                "size": (added[head].norm(dim=-1) / x.norm(dim=-1))[:, 1:].mean().item(),
                "change": (mean_cosine((x + added[head])[:, 1:]) - before).mean().item(),
            }  # fmt: skip
            for key, value in row.items():
                found.setdefault(key, []).append(value)
    shape = (model.cfg.n_layers, model.cfg.n_heads)
    return {key: torch.tensor(values).view(shape) for key, values in found.items()}


def force_by_distance(
    pattern: Float[Tensor, "text query key"], moved: Float[Tensor, "text key d_model"], first: int
) -> Float[Tensor, " distance"]:
    """What share of a head's force on queries from `first` on comes from 0, 1, 2, ... tokens back.

    A force's size is the key's attention times the length of what it sends; `<BOS>` counts, too.
    """
    sizes = pattern * moved.norm(dim=-1)[:, None]
    n = pattern.shape[-1]
    back = torch.arange(n)[:, None] - torch.arange(n)
    allowed = back[first:] >= 0
    of = sizes[:, first:][:, allowed].sum(0)
    totals = torch.zeros(n).index_add_(0, back[first:][allowed], of)
    return totals / totals.sum()
