"""Two exercises of notebook 13: a run without some heads, and a head that looks at a fixed place."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor

# 13.2 a pattern-preserving ablation


def deep_runs() -> list[tuple]:
    """Embeddings, patterns and weights of two and three layers, and heads to be silent in more than one of them."""
    cases = []
    for seed, (n_layers, n_heads, silent) in enumerate([(2, 3, {(0, 1), (1, 2)}), (3, 2, {(1, 0)}), (2, 2, {(0, 0)})]):
        generator = torch.Generator().manual_seed(seed)
        embed = torch.randn(2, 4, 6, generator=generator)
        patterns = torch.rand(n_layers, 2, n_heads, 4, 4, generator=generator).tril()
        W_V = torch.randn(n_layers, n_heads, 6, 3, generator=generator)
        W_O = torch.randn(n_layers, n_heads, 3, 6, generator=generator)
        cases.append((embed, patterns / patterns.sum(-1, keepdim=True), W_V, W_O, silent))
    return cases


def slow_stream(
    embed: Tensor, patterns: Tensor, W_V: Tensor, W_O: Tensor, silent: Collection[tuple[int, int]],
    read: Callable[[list[Tensor]], Tensor] = lambda streams: streams[-1], keep: bool = False,
) -> Tensor:  # fmt: skip
    """One head, prompt, query and key at a time; `read` says which stream a layer reads, of those so far."""
    streams = [embed]
    for layer in range(len(W_V)):
        stream = streams[-1].clone()
        for head in range(len(W_V[layer])):
            if ((layer, head) in silent) != keep:
                continue
            for row in range(len(embed)):
                moved = read(streams)[row] @ W_V[layer, head] @ W_O[layer, head]
                for query in range(embed.shape[1]):
                    for key in range(query + 1):
                        stream[row, query] += patterns[layer, row, head, query, key] * moved[key]
        streams.append(stream)
    return streams[-1]


def one_after_another(embed: Tensor, patterns: Tensor, W_V: Tensor, W_O: Tensor, silent: Collection) -> Tensor:
    """Heads of one layer read each other."""
    stream = embed.clone()
    for layer in range(len(W_V)):
        for head in range(len(W_V[layer])):
            if (layer, head) not in silent:
                stream = stream + patterns[layer][:, head] @ stream @ W_V[layer, head] @ W_O[layer, head]
    return stream


def everything(embed: Tensor, patterns: Tensor, W_V: Tensor, W_O: Tensor, silent: Collection) -> Tensor:
    """The run as it was."""
    return slow_stream(embed, patterns, W_V, W_O, set())


def by_number(embed: Tensor, patterns: Tensor, W_V: Tensor, W_O: Tensor, silent: Collection) -> Tensor:
    """Heads of these numbers left out in every layer."""
    numbers = {head for _, head in silent}
    every = {(layer, head) for layer in range(len(W_V)) for head in numbers}
    return slow_stream(embed, patterns, W_V, W_O, every)


def direct_only(embed: Tensor, patterns: Tensor, W_V: Tensor, W_O: Tensor, silent: Collection) -> Tensor:
    """What the heads wrote is missing from the last stream, but later heads still read it."""
    whole, streams = everything(embed, patterns, W_V, W_O, silent), [embed]
    for layer in range(len(W_V)):
        streams.append(slow_stream(embed, patterns[: layer + 1], W_V[: layer + 1], W_O[: layer + 1], set()))
    for layer, head in silent:
        whole = whole - patterns[layer][:, head] @ streams[layer] @ W_V[layer, head] @ W_O[layer, head]
    return whole


STREAM_MISTAKES = {
    "those heads are left alone, and the others left out: it is the other way round":
        lambda *case: slow_stream(*case, keep=True),
    "nothing is left out: the heads in `silent` add nothing": everything,
    "heads were left out in every layer: `silent` names the layer of each": by_number,
    "heads of one layer read each other: all of them read the stream as it was before the layer": one_after_another,
    "every layer reads the embedding: it reads the stream that the layers before it left":
        lambda *case: slow_stream(*case, read=lambda streams: streams[0]),
    "later layers still read what the silent heads wrote: leave it out of the stream that they read": direct_only,
    "what enters is missing: the stream begins with the embedding":
        lambda *case: slow_stream(*case) - case[0],
}  # fmt: skip


# 13.5 the token after the earlier copy, or a fixed place


def copies() -> list[tuple]:
    """Patterns over `<BOS>` and two copies, and a distance that is shorter or longer than a copy."""
    cases = []
    for seed, (length, back) in enumerate([(6, 3), (5, 7), (4, 2), (7, 3)]):
        generator = torch.Generator().manual_seed(seed)
        pattern = torch.rand(2, 3, 2 * length + 1, 2 * length + 1, generator=generator).tril()
        cases.append((pattern / pattern.sum(-1, keepdim=True), length, back))
    return cases


def slow_follower_and_fixed(
    pattern: Tensor, length: int, back: int, after: int = 1, first: int | None = None, least: int = 1
) -> Tensor:
    """One head, prompt and query at a time."""
    found = torch.zeros(pattern.shape[1], 2)
    first = max(length, back) + 1 if first is None else first
    queries = [query for query in range(first, pattern.shape[-1]) if query - back >= least]
    for head in range(pattern.shape[1]):
        for row in range(len(pattern)):
            for query in queries:
                here = pattern[row, head, query]
                found[head] += torch.stack([here[query - length + after], here[query - back]])
    return found / (len(pattern) * len(queries))


FIXED_MISTAKES = {
    "the two columns are exchanged: first the token after the earlier copy":
        lambda p, n, b: slow_follower_and_fixed(p, n, b).flip(1),
    "that is attention to the earlier copy itself: take the token after it, at query - length + 1":
        lambda p, n, b: slow_follower_and_fixed(p, n, b, after=0),
    "two places after the earlier copy: a follower stands at query - length + 1":
        lambda p, n, b: slow_follower_and_fixed(p, n, b, after=2),
    "the token after the earlier copy, counted from the wrong side: it stands at query - length + 1":
        lambda p, n, b: slow_follower_and_fixed(p, n, b, after=-1),
    "the mean ran over all queries that have both places: only those of the second copy have something to match":
        lambda p, n, b: slow_follower_and_fixed(p, n, b, first=max(n - 1, b) + 1),
    "<BOS> counts as a place back: begin where a token stands there, at position 1":
        lambda p, n, b: slow_follower_and_fixed(p, n, b, first=n + 1, least=0),
    "`back` was counted from the earlier copy: count from the query":
        lambda p, n, b: torch.stack([slow_follower_and_fixed(p, n, b)[:, 0], far(p, n, b)], 1),
    "summed over queries: take their mean":
        lambda p, n, b: slow_follower_and_fixed(p, n, b) * (p.shape[-1] - max(n, b) - 1),
}  # fmt: skip


def far(pattern: Tensor, length: int, back: int) -> Tensor:
    """Attention to a place counted from the earlier copy; the nearest one if there is none."""
    queries = range(max(length, back) + 1, pattern.shape[-1])
    return torch.stack([pattern[:, :, query, max(query - length - back, 0)].mean(0) for query in queries]).mean(0)
