"""The smallest edits: one rank-one change of one head, in closed form, that makes one entry of its W_OV or W_QK another.

An edit is kept as two vectors, is made in W_V or in W_Q (so that the head keeps its rank), and can be undone to the bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from walkthrough.models import check_head, head_weights


class Edit(NamedTuple):
    """What is added to W_V or W_Q of one head: the outer product of `left` (the stream that is read) and `right`."""

    layer: int
    head: int
    matrix: str  # "V" or "Q"
    left: Float[Tensor, " d_model"]
    right: Float[Tensor, " d_head"]

    def change(self, model) -> Float[Tensor, "read write"]:
        """What the edit adds to the head's W_OV, or to its W_QK: a matrix of rank one."""
        _, W_K, _, W_O = head_weights(model, self.layer, self.head)
        return torch.outer(self.left, self.right @ (W_O if self.matrix == "V" else W_K.T))

    def size(self, model) -> float:
        """The change's Frobenius norm as a share of that of the head's W_OV, or W_QK."""
        W_Q, W_K, W_V, W_O = head_weights(model, self.layer, self.head)
        whole = W_V @ W_O if self.matrix == "V" else W_Q @ W_K.T
        return (self.change(model).norm() / whole.norm()).item()


def least_change(
    left_read: Float[Tensor, " d_model"], right_read: Float[Tensor, " d_head"], change: float,
    left_cost: Float[Tensor, "d_model d_model"] | None = None, right_cost: Float[Tensor, "d_head d_head"] | None = None,
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_head"]]:  # fmt: skip
    """The cheapest D with left_read D right_read = change, as the two factors of an outer product.

    The cost is tr(left_cost D right_cost D^T), the mean square of what D adds where left_cost is the second moment of
    the streams and right_cost says how much each direction counts; without them, the squared Frobenius norm. The
    minimum has rank one: left_cost^-1 left_read times right_cost^-1 right_read, scaled (a Lagrange multiplier; the
    weighted form is that of Meng et al. 2022, "Locating and Editing Factual Associations in GPT"). Raises ValueError
    if one of the reads is zero.
    """
    left = left_read if left_cost is None else _solve(left_cost, left_read)
    right = right_read if right_cost is None else _solve(right_cost, right_read)
    reached = (left_read @ left) * (right_read @ right)
    if reached == 0:
        raise ValueError("one of the two directions is zero: no change of the matrix reaches that entry")
    return left, right * change / reached


def _solve(cost: Tensor, read: Tensor) -> Tensor:
    """cost^-1 read; where the cost is singular, the shortest solution: a head may not use all of its d_head."""
    return torch.linalg.lstsq(cost, read[:, None], driver="gelsd").solution[:, 0]


def ov_edit(
    model, layer: int, head: int, stream: Float[Tensor, " d_model"], read: Float[Tensor, " d_model"], change: float,
    moment: Float[Tensor, "d_model d_model"] | None = None,
) -> Edit:  # fmt: skip
    """The smallest edit of W_V that changes stream W_V W_O read by `change`: what a head moves from one stream to one logit.

    `read` is a column of W_U, or a difference of columns; in logits. `moment` is the second moment of the streams that
    the layer reads: with it, the mean square of what the edit adds to the stream is smallest; without it, the Frobenius
    norm of the change of W_OV. Raises ValueError for a head that the model does not have.
    """
    W_O = head_weights(model, layer, head)[3]
    return Edit(layer, head, "V", *least_change(stream, W_O @ read, change, moment, W_O @ W_O.T))


def qk_edit(
    model, layer: int, head: int, query: Float[Tensor, " d_model"], keys: Float[Tensor, " d_model"], change: float,
    moment: Float[Tensor, "d_model d_model"] | None = None,
) -> Edit:  # fmt: skip
    """The smallest edit of W_Q that changes a query's score of a key, less that of another, by `change`.

    `query` is the stream that looks, with its position; `keys` the difference of the two streams looked at. The score
    is divided by the square root of d_head, as in the softmax. `moment` as in `ov_edit`, of the streams with positions.
    """
    W_K = head_weights(model, layer, head)[1]
    wanted = change * model.cfg.d_head**0.5
    return Edit(layer, head, "Q", *least_change(query, W_K.T @ keys, wanted, moment, W_K.T @ W_K))


def random_edit(model, edit: Edit, seed: int) -> Edit:
    """An edit of the same head, matrix and size (Frobenius norm of the change) in a random direction: a baseline."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(len(part), generator=generator).to(part) for part in (edit.left, edit.right))
    other = edit._replace(left=left, right=right)
    return other._replace(right=right * edit.change(model).norm() / other.change(model).norm())


@contextmanager
def edited(model, *edits: Edit) -> Iterator[None]:
    """Inside the `with`, the model's own weights have the edits; after it they are what they were, to the bit.

    Raises ValueError for a head that the model does not have, and for a matrix other than "V" and "Q".
    """
    for edit in edits:
        check_head(model, edit.layer, edit.head)
        if edit.matrix not in ("V", "Q"):
            raise ValueError(f"{edit.matrix!r} is not a matrix that is edited here: take 'V' or 'Q'")
    weights = [getattr(model.blocks[edit.layer].attn, edit.matrix.lower()).weight for edit in edits]
    kept = [weight.detach().clone() for weight in weights]
    try:
        for edit, weight in zip(edits, weights):
            rows = slice(edit.head * model.cfg.d_head, (edit.head + 1) * model.cfg.d_head)
            weight.data[rows] += torch.outer(edit.right, edit.left)  # torch stores a linear map's transpose
        yield
    finally:
        for weight, before in zip(reversed(weights), reversed(kept)):
            weight.data.copy_(before)


def stream_moment(
    model, layer: int, rows: Int[Tensor, "batch pos"], ridge: float = 1e-3, placed: bool = False
) -> Float[Tensor, "d_model d_model"]:
    """The second moment of the streams that a layer reads in some text; with `placed`, positions are added, as for W_Q.

    To its diagonal `ridge` times the mean of the diagonal is added, so that it can be inverted. Raises ValueError for a
    layer that the model does not have.
    """
    check_head(model, layer)
    name = f"blocks.{layer}.hook_resid_pre"
    streams = []

    def keep(resid, hook):
        """The stream is kept, and not changed."""
        streams.append((resid + model.W_pos[: resid.shape[1]] if placed else resid).flatten(0, 1))

    last = ("unembed.hook_in", lambda resid, hook: resid[:, -1:])  # the logits are not needed
    for part in rows.split(16):
        model.run_with_hooks(part, fwd_hooks=[(name, keep), last])
    x = torch.cat(streams)
    moment = x.T @ x / len(x)
    return moment + ridge * moment.diagonal().mean() * torch.eye(len(moment))


def losses_by_window(model, rows: Int[Tensor, "window pos_and_one"]) -> Float[Tensor, " window"]:
    """The mean loss of each window, in nats a token: before and after an edit, its cost elsewhere.

    Raises ValueError if there is no window.
    """
    if not len(rows):
        raise ValueError("there is no window to measure on: does any window hold what you chose them by?")
    losses = []
    for part in rows.split(8):
        logits = model(part[:, :-1])
        losses.append(cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="none").view(len(part), -1))
    return torch.cat(losses).mean(1)
