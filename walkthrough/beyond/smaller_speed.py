"""A small network as fast as plain torch can run it: tables for layer 0, heads of one kind together, near keys in blocks."""

import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import groupby

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from walkthrough.beyond import smaller_network
from walkthrough.beyond.smaller_network import SmallHeads, SmallNetwork
from walkthrough.models import PaperModel, config
from walkthrough.training.forward import final_stream

STEP = 16  # heads are filled up by zeros to multiples of so many dimensions, so that more of them run together


@cache
def near_mask(batch: int, n_blocks: int, window: int) -> Float[Tensor, "batch_and_block 1 query key"]:
    """What `near_attention` adds to scores: 0 for the first key of all and for the last `window` ones, else -inf.

    Queries come in blocks of `window`; the keys of a block are the first one of all, the block before, and the block.
    """
    query, key = torch.arange(window)[:, None], torch.arange(-window, window)
    seen = ((key <= query) & (query - key < window)).expand(n_blocks, -1, -1).clone()
    seen[0, :, :window] = False  # there is no block before the first
    position = torch.arange(n_blocks)[:, None] * window + key
    seen &= (position != 0)[:, None]  # the first key is there already
    seen = torch.cat([torch.ones(n_blocks, window, 1, dtype=torch.bool), seen], -1)
    return torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)[:, None].repeat(batch, 1, 1, 1)


def near_attention(
    q: Float[Tensor, "batch head pos width"], k: Float[Tensor, "batch head pos width"],
    v: Float[Tensor, "batch head pos width"], window: int,
) -> Float[Tensor, "batch head pos width"]:  # fmt: skip
    """Causal attention to the first key (`<BOS>`) and to the last `window` ones, the query's own among them.

    The time grows with pos x window, instead of pos². Scores are not scaled.
    """
    batch, n_pos = q.shape[0], q.shape[2]
    n_blocks = -(-n_pos // window)

    def blocks(x: Tensor) -> Tensor:
        """[batch block window head width], filled up by zeros; pos before head, as linear maps leave it, so as not to copy."""
        missing, x = n_blocks * window - n_pos, x.transpose(1, 2)
        return (F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x).unflatten(1, (n_blocks, window))

    def seen(x: Tensor) -> Tensor:
        """The keys or values that each block sees."""
        first = x[:, :1, :1].expand(-1, n_blocks, -1, -1, -1)
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
        return torch.cat([first, before, x], 2).flatten(0, 1).transpose(1, 2)

    q, k, v = blocks(q).flatten(0, 1).transpose(1, 2), seen(blocks(k)), seen(blocks(v))
    z = F.scaled_dot_product_attention(q, k, v, attn_mask=near_mask(batch, n_blocks, window), scale=1.0)
    return z.transpose(1, 2).unflatten(0, (batch, n_blocks)).flatten(1, 2)[:, :n_pos].transpose(1, 2)


class FastHeads:
    """The heads of one layer, ordered by kind (what they see, and their width); dropped ones are left out."""

    def __init__(self, layer: SmallHeads):
        kinds = {
            h: (see, -(-max(pair) // STEP) * STEP)
            for h, (pair, see) in enumerate(zip(layer.ranks, layer.sees))
            if pair[1]
        }
        order = sorted(kinds, key=lambda h: (kinds[h][0] == "previous", kinds[h], h))
        self.groups = [(*kind, len(list(same))) for kind, same in groupby(order, kinds.get)]
        wide = lambda weights, heads: [F.pad(weights[h], (0, 0, 0, kinds[h][1] - len(weights[h]))) for h in heads]
        scored = [h for h in order if kinds[h][0] != "previous"]
        self.read = torch.cat([*wide(layer.q, scored), *wide(layer.k, scored), *wide(layer.v, order)])
        self.write = torch.cat(wide(layer.o, order)).T.contiguous()
        self.n_scored = sum(kinds[h][1] for h in scored)
        self.constant = layer.constant if len(layer.constant) else None

    def __call__(self, read: Float[Tensor, "batch pos read"]) -> Float[Tensor, "batch pos d_model"]:
        """What the heads add to the stream; `read` holds queries, keys and values side by side."""
        q, k, v = read.split([self.n_scored, self.n_scored, read.shape[-1] - 2 * self.n_scored], -1)
        z, at = [], 0
        for see, width, n in self.groups:
            here = slice(at, at := at + n * width)
            if see == "previous":
                z.append(torch.cat([v[:, :1, here], v[:, :-1, here]], 1))
                continue
            heads = [x[..., here].unflatten(-1, (n, width)).transpose(1, 2) for x in (q, k, v)]
            if see == "near":
                mixed = near_attention(*heads, smaller_network.WINDOW)
            else:
                mixed = F.scaled_dot_product_attention(*heads, is_causal=True, scale=1.0)
            z.append(mixed.transpose(1, 2).flatten(2))
        return F.linear(torch.cat(z, -1) if len(z) > 1 else z[0], self.write, self.constant)


class FastNetwork(nn.Module):
    """A `SmallNetwork` for running only: the same numbers to float precision.

    Layer 0 reads tokens alone: (x + p) W_Q = x W_Q + p W_Q, in which x is a row of W_E, and so its queries, keys and
    values are looked up in tables, for each token and each position. Tables take more memory than the network.
    """

    def __init__(self, net: SmallNetwork):
        super().__init__()
        self.net = net.requires_grad_(False)
        self.heads = [FastHeads(layer) for layer in net.layers]
        self.table = F.linear(net.embed, self.heads[0].read)
        self.of_position = [F.linear(net.positions, heads.read[: 2 * heads.n_scored]) for heads in self.heads]

    def stream(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """What the unembedding reads."""
        resid = F.embedding(tokens, self.net.embed)
        for layer, (heads, of_position) in enumerate(zip(self.heads, self.of_position)):
            read = F.linear(resid, heads.read) if layer else F.embedding(tokens, self.table)
            read[..., : of_position.shape[1]] += of_position[: tokens.shape[1]]
            resid = resid + heads(read)
        return resid

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
        """Logits."""
        resid = self.stream(tokens)
        for matrix in self.net.unembed:
            resid = F.linear(resid, matrix)
        return resid


def fewest_seconds(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """The fewest seconds that each took, over rounds in which they take turns, after one round that does not count.

    By the processor's time, which other programs do not take from; give `time.perf_counter` for several threads.
    """
    best = dict.fromkeys(runs, float("inf"))
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if turn:
                best[name] = min(best[name], clock() - start)
    return best


def unpruned(model) -> PaperModel:
    """The trained network as torch runs it fastest, by `training.forward.final_stream`: what others are compared with."""
    net = PaperModel(
        config(model.cfg.n_layers, model.cfg.d_model, model.cfg.n_heads, model.cfg.n_ctx, model.cfg.d_vocab)
    )
    net.load_state_dict(
        {key.replace("._original_component", ""): p for key, p in model.named_parameters()}, strict=False
    )
    return net.eval().requires_grad_(False)


def tokens_per_second(
    model, nets: Mapping[str, nn.Module], tokens: Int[Tensor, "batch pos"], rounds: int = 10,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Tokens a second through the layers alone, and with the unembedding, of the unpruned model and each network."""
    whole = unpruned(model)
    streams = {"unpruned": lambda: final_stream(whole, tokens)} | {
        name: partial(net.stream, tokens) for name, net in nets.items()
    }
    runs = {"unpruned": lambda: whole.head(final_stream(whole, tokens))} | {
        name: partial(net, tokens) for name, net in nets.items()
    }
    with torch.inference_mode():
        layers, all_of_it = (fewest_seconds(each, rounds, clock) for each in (streams, runs))
    n = tokens.numel()
    return {name: {"layers": n / layers[name], "with unembedding": n / all_of_it[name]} for name in runs}
