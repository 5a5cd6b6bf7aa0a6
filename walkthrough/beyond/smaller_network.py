"""A network whose heads have ranks of their own, and keys of their own to see: what `walkthrough.beyond.smaller` leaves, running."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from walkthrough.architecture import EVERYTHING, leaves_out
from walkthrough.beyond.smaller import KINDS, Circuit, circuit_factors, weighted_cut
from walkthrough.models import check_length

FILE = Path(__file__).parent.parent / "weights" / "reverse" / "smaller.safetensors"
WINDOW = 32  # keys that a head of "near" sees, its own position among them, besides the first of all
SEES = ("all", "near", "previous")
Head = tuple[int, int]  # layer, head


@cache
def seen_keys(sees: tuple[str, ...], n_pos: int) -> Bool[Tensor, "head query key"]:
    """Which keys each head sees: all so far; the first and the last `WINDOW`; or only the one before the query's.

    The first position has none before it, and sees itself.
    """
    query, key = torch.arange(n_pos)[:, None], torch.arange(n_pos)
    causal = key <= query
    found = {"all": causal, "near": causal & ((query - key < WINDOW) | (key == 0)),
             "previous": key == (query - 1).clamp(min=0)}  # fmt: skip
    return torch.stack([found[each] for each in sees])


class SmallHeads(nn.Module):
    """The heads of one layer: for each the rank of its QK and of its OV circuit, and which keys it sees (`SEES`).

    A head of no OV rank is dropped; what dropped heads added on average is one constant for all of them, [d_model].
    """

    def __init__(self, d_model: int, ranks: Sequence[Sequence[int]], sees: Sequence[str]):
        super().__init__()
        self.ranks, self.sees = [tuple(pair) for pair in ranks], tuple(sees)
        zeros = lambda rank: nn.Parameter(torch.zeros(rank, d_model))
        self.q, self.k = (nn.ParameterList(zeros(QK) for QK, _ in self.ranks) for _ in "qk")
        self.v, self.o = (nn.ParameterList(zeros(OV) for _, OV in self.ranks) for _ in "vo")
        self.constant = nn.Parameter(torch.zeros(0 if all(OV for _, OV in self.ranks) else d_model))

    def pairs(self, kind: str) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """The two factors of each head's "QK" or "OV" circuit, both [rank, d_model]."""
        return list(zip(self.q, self.k) if kind == "QK" else zip(self.v, self.o))

    def forward(
        self, resid: Float[Tensor, "batch pos d_model"], positions: Float[Tensor, "pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """What the heads together add to the stream. All are filled up by zeros to one width, which is simple, not fast."""
        width, placed = max(map(max, self.ranks)), resid + positions
        side_by_side = lambda weights: torch.cat([F.pad(w, (0, 0, 0, width - len(w))) for w in weights])
        q, k, v = (
            F.linear(x, side_by_side(weights)).unflatten(-1, (-1, width)).transpose(1, 2)
            for x, weights in ((placed, self.q), (placed, self.k), (resid, self.v))
        )
        how = {"is_causal": True} if set(self.sees) == {"all"} else {"attn_mask": seen_keys(self.sees, len(positions))}
        z = F.scaled_dot_product_attention(q, k, v, scale=1.0, **how)
        added = z.transpose(1, 2).flatten(2) @ side_by_side(self.o)
        return added + self.constant if len(self.constant) else added


class SmallNetwork(nn.Module):
    """Embedding, layers of `SmallHeads`, and an unembedding of one matrix or, if its rank is cut, of two."""

    def __init__(self, W_E: Tensor, W_pos: Tensor, unembedding: Collection[Tensor], layers: Collection[SmallHeads]):
        super().__init__()
        self.embed, self.layers = nn.Parameter(W_E.clone()), nn.ModuleList(layers)
        self.unembed = nn.ParameterList([matrix.T.contiguous().clone() for matrix in unembedding])
        self.register_buffer("positions", W_pos.clone())

    def stream(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """What the unembedding reads; ValueError for a prompt longer than the context."""
        check_length(tokens.shape[1], len(self.positions))
        resid = self.embed[tokens]
        for layer in self.layers:
            resid = resid + layer(resid, self.positions[: tokens.shape[1]])
        return resid

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
        """Logits."""
        resid = self.stream(tokens)
        for matrix in self.unembed:
            resid = F.linear(resid, matrix)
        return resid

    def window_losses(self, rows: Int[Tensor, "window pos_and_one"], batch: int = 8) -> Float[Tensor, " window"]:
        """Mean loss of each window in nats, without gradients."""
        with torch.no_grad():
            losses = [F.cross_entropy(self(part[:, :-1]).mT, part[:, 1:], reduction="none").mean(1)
                      for part in rows.long().split(batch)]  # fmt: skip
        return torch.cat(losses)

    def attention_numbers(self) -> int:
        """How many parameters the layers have."""
        return sum(p.numel() for p in self.layers.parameters())


@leaves_out(*EVERYTHING, instead="use a model of attention alone, as the course's are")
def small_network(
    model, ranks: Mapping[Circuit, int] | None = None, previous: Collection[Head] = (), near: Collection[Head] = (),
    dropped: Mapping[Head, Tensor] | None = None, moments: Mapping[Circuit, tuple] | None = None,
    unembed_rank: int | None = None, final_moment: Tensor | None = None,
) -> SmallNetwork:  # fmt: skip
    """A network from a bridge without LayerNorm and MLP: circuits cut to `ranks`, weighed by `moments` or, without, plainly.

    A head in `previous` looks at the token before and has no scores; one in `near` sees the first token and the last
    `WINDOW`; one in `dropped` becomes a constant, [d_model]. What is not named stays whole. Raises ValueError for a rank
    that there is not, and for a model of another kind.
    """
    dropped, moments, layers = dropped or {}, moments or {}, []
    d_head, heads = model.cfg.d_head, range(model.cfg.n_heads)
    wanted = dict.fromkeys([(kind, la, h) for kind in KINDS for la in range(model.cfg.n_layers) for h in heads], d_head)
    if unknown := sorted({*(ranks or {}), *(("OV", *head) for head in (*previous, *near, *dropped))} - set(wanted)):
        raise ValueError(f"this model has no circuit {unknown[0]}: its layers are 0 to {model.cfg.n_layers - 1}, its heads "
                         f"0 to {model.cfg.n_heads - 1}")  # fmt: skip
    wanted |= ranks or {}
    wanted |= {("QK", *head): 0 for head in (*previous, *dropped)} | {("OV", *head): 0 for head in dropped}
    for number in range(model.cfg.n_layers):
        sees = ["previous" if (number, h) in previous else "near" if (number, h) in near else "all" for h in heads]
        layer = SmallHeads(model.cfg.d_model, [[wanted[kind, number, h] for kind in KINDS] for h in heads], sees)
        with torch.no_grad():
            for kind in KINDS:
                for head, (first, second) in enumerate(layer.pairs(kind)):
                    left, right = circuit_factors(model, circuit := (kind, number, head))
                    if (rank := wanted[circuit]) != d_head:
                        left, right = weighted_cut(left, right, rank, *moments.get(circuit, ()))
                    first.copy_(left.T)
                    second.copy_(right)
            for mean in (mean for (la, _), mean in dropped.items() if la == number):
                layer.constant += mean
        layers.append(layer)
    unembedding = [model.W_U]
    if unembed_rank is not None:
        unembedding = weighted_cut(torch.eye(model.cfg.d_model), model.W_U, unembed_rank, final_moment)
    return SmallNetwork(model.W_E, model.W_pos, unembedding, layers)


def save_small(net: SmallNetwork, file: Path, model) -> SmallNetwork:
    """Write the layers of a network to a file, in float16; returns the network as it is read again, its numbers rounded."""
    shapes = [{"ranks": layer.ranks, "sees": layer.sees} for layer in net.layers]
    half = {name: p.detach().half() for name, p in net.layers.state_dict().items()}
    save_file(half, file, metadata={"shapes": json.dumps(shapes)})
    return load_small(model, file)


def load_small(model, file: Path = FILE) -> SmallNetwork:
    """The network of a file, without gradients; `model`, the bridge it was made from, gives embedding and unembedding.

    Raises ValueError for a model of another size.
    """
    with safe_open(file, "pt") as opened:
        shapes = json.loads(opened.metadata()["shapes"])
    stored = load_file(file)
    width = stored["0.q.0"].shape[1]
    if width != model.cfg.d_model or len(shapes) != model.cfg.n_layers:
        raise ValueError(
            f"this network has {len(shapes)} layers of width {width}: load the model that it was made from"
        )
    layers = [SmallHeads(width, **shape) for shape in shapes]
    net = SmallNetwork(model.W_E, model.W_pos, [model.W_U], layers)
    net.layers.load_state_dict({name: p.float() for name, p in stored.items()})
    return net.requires_grad_(False)
