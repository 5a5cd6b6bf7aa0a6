"""Task 3 of homework 6: a layer cut to a budget of ranks, and a constant for each head, by what its heads do in a text."""

import torch
from torch import Tensor

from graders.hw4_runs import two_layers


def layers(seed: int) -> list[tuple]:
    """Two models whose streams have a mean far from zero, a layer of each, prompts, and a budget of ranks."""
    sizes = ((16, 4, 1, 14, 9), (20, 5, 0, 15, 11))
    return [telling(torch.Generator().manual_seed(seed + i), *size) for i, size in enumerate(sizes)]


def telling(generator: torch.Generator, d_model: int, n_heads: int, layer: int, n_pos: int, budget: int) -> tuple:
    """A model, layer, prompts and budget for which every way to share the ranks out is another."""
    while True:
        seed = torch.randint(2**31, (), generator=generator).item()
        model = shifted(seed, d_model, n_heads)
        tokens = torch.randint(1, 13, (5, n_pos), generator=generator)
        tables = results(model, layer, tokens)
        alike = [budget // n_heads + (head < budget % n_heads) for head in range(n_heads)]
        plans = [plan(tables, budget), alike, *usual_plans(model, layer, tables, budget)]
        if len({*map(tuple, plans)}) == len(plans) and max(plans[0]) - min(plans[0]) > 1:
            return shifted(seed, d_model, n_heads), layer, tokens, budget  # a bridge that has run cannot be copied well


def shifted(seed: int, d_model: int, n_heads: int):
    """A random model whose embeddings have a mean far from zero, and axes of different lengths."""
    model, generator = two_layers(seed, d_model, n_heads), torch.Generator().manual_seed(seed)
    scale, shift = torch.rand(2, d_model, generator=generator)
    model.original_model.tok_embed.weight.data.mul_(0.3 + 2 * scale).add_(3 * shift)
    return model


def results(model, layer: int, tokens: Tensor) -> list[Tensor]:
    """What each head adds to the stream [row d_model], from pattern and stream."""
    cache = model.run_with_cache(tokens)[1]
    resid, pattern = cache["resid_pre", layer].double(), cache["pattern", layer].double()
    heads = zip(pattern.unbind(1), model.W_V[layer].double(), model.W_O[layer].double())
    return [(A @ resid @ W_V @ W_O).flatten(0, 1) for A, W_V, W_O in heads]


def lost(table: Tensor) -> Tensor:
    """What is lost of a table of rows, by the rank that is kept: 0, 1, …; with a constant, in mean square."""
    squares = torch.linalg.svdvals(table - table.mean(0)).square().flip(0).cumsum(0).flip(0)
    return torch.cat([squares, torch.zeros(1).double()]) / len(table)


def shared(spectra: list[Tensor], budget: int) -> list[int]:
    """How many of the largest values, over all heads, each head has."""
    line = torch.cat(spectra).topk(budget).values.min()
    return [int((own >= line).sum()) for own in spectra]


def plan(tables: list[Tensor], budget: int) -> list[int]:
    """The ranks that lose least."""
    return shared([torch.linalg.svdvals(table - table.mean(0)) for table in tables], budget)


def usual_plans(model, layer: int, tables: list[Tensor], budget: int) -> list[list[int]]:
    """How the ranks are shared out by the weights alone, with the mean left in, and by shares of each head's own."""
    weights = [torch.linalg.svdvals(V.double() @ O.double()) for V, O in zip(model.W_V[layer], model.W_O[layer])]
    parts = [torch.linalg.svdvals(table - table.mean(0)).square() for table in tables]
    spectra = (weights, [torch.linalg.svdvals(table) for table in tables], [part / part.sum() for part in parts])
    return [shared(each, budget) for each in spectra]


def cut_layer(answer, model, layer: int, tokens: Tensor, budget: int) -> str | None:
    """What is wrong with heads said to be the best within the budget."""
    n_heads, d_model = model.cfg.n_heads, model.cfg.d_model
    try:
        heads = [[torch.as_tensor(part).detach().double() for part in head] for head in answer]
        shapes = [[list(part.shape) for part in head] for head in heads]
    except (TypeError, ValueError, RuntimeError):
        return "return a list with (W_V, W_O, constant) for each head"
    if [len(head) for head in shapes] != [3] * n_heads:
        return f"a list of {n_heads} heads is to be returned, each as (W_V, W_O, constant): is it hard-coded to the example?"
    for head, sizes in enumerate(shapes):
        rank = sizes[0][-1] if sizes[0] else 0
        if sizes != [[d_model, rank], [rank, d_model], [d_model]]:
            return f"head {head}: W_V is [{d_model} rank], W_O [rank {d_model}], the constant [{d_model}]; yours are {sizes}"
    if not torch.cat([part.flatten() for head in heads for part in head]).isfinite().all():
        return "there are nan or infinite weights"
    ranks = [sizes[0][1] for sizes in shapes]
    if sum(ranks) > budget:
        return f"you spent {sum(ranks)} ranks, and the budget is {budget}"
    return worse(heads, ranks, model, layer, tokens, budget)


def worse(heads, ranks: list[int], model, layer: int, tokens: Tensor, budget: int) -> str | None:
    """Whether heads of these ranks lose more than need be, and why."""
    tables, spent = results(model, layer, tokens), plan(results(model, layer, tokens), budget)
    cache = model.run_with_cache(tokens)[1]
    mixed = [(A @ cache["resid_pre", layer]).flatten(0, 1).double() for A in cache["pattern", layer].unbind(1)]
    kept = [x @ V @ O for x, (V, O, _) in zip(mixed, heads)]
    left = [table - own for table, own in zip(tables, kept)]
    mine = sum((rest - constant).square().sum(1).mean() for rest, (_, _, constant) in zip(left, heads))
    least = sum(lost(table)[rank] for table, rank in zip(tables, spent))
    slack = 1e-3 * sum(lost(table)[0] for table in tables)
    if mine < least + slack:
        return None
    centred = sum((rest - rest.mean(0)).square().sum(1).mean() for rest in left)
    own_least = sum(lost(table)[rank] for table, rank in zip(tables, ranks))
    if centred < own_least + slack:
        return constants(heads, left) if mine > centred + slack else ranks_wrong(ranks, model, layer, tables, budget)
    return directions_wrong(heads, ranks, model, layer, tokens, tables)


def constants(heads, left: list[Tensor]) -> str:
    """The directions are right, and the constants are not."""
    right = [rest.mean(0) for rest in left]
    if all(constant.abs().max() < 1e-9 for _, _, constant in heads):
        return "the directions are right, but the constants are zero: what a cut takes away has a mean"
    near = 1e-2 * max(mean.norm() for mean in right)
    if all((constant + mean).norm() < near for (_, _, constant), mean in zip(heads, right)):
        return "the directions are right, but the constants have the wrong sign"
    return "the directions are right, but the constants are not: what is the mean of what your cut takes away?"


def ranks_wrong(ranks: list[int], model, layer: int, tables: list[Tensor], budget: int) -> str:
    """Each head is cut as well as its rank allows, but the ranks are shared out badly."""
    best = "each head is the best of its rank, but the ranks are shared out badly: "
    if sum(ranks) < budget:
        return f"each head is the best of its rank, but you spent {sum(ranks)} of {budget} ranks"
    sentences = (
        "by what stands in the weights, and not by what the heads do in the text",
        "the mean was counted, which the constant carries for nothing",
        "by shares of each head's own, so that a head that writes little counts as much as any",
    )
    for usual, sentence in zip(usual_plans(model, layer, tables, budget), sentences):
        if ranks == usual:
            return best + sentence
    if max(ranks) - min(ranks) <= 1:
        return best + "alike, whatever each head needs"
    return best + "one more rank for one head should lose less than it costs another"


def directions_wrong(heads, ranks: list[int], model, layer: int, tokens: Tensor, tables: list[Tensor]) -> str:
    """Some head keeps directions that are not its best, for its rank; in which usual way."""
    cache = model.run_with_cache(tokens)[1]
    resid, z = cache["resid_pre", layer].double().flatten(0, 1), cache["z", layer].double()
    W_V, W_O = model.W_V[layer].double(), model.W_O[layer].double()
    centre = lambda table: table - table.mean(0)

    def is_cut(writes: list[Tensor]) -> bool:
        """Whether every head is the whole one, projected on the best directions of these tables."""
        for (V, O, _), head, rank, table in zip(heads, range(len(heads)), ranks, writes):
            top = torch.linalg.svd(table, full_matrices=False).Vh[:rank]
            whole = W_V[head] @ W_O[head]
            if (V @ O - whole @ top.T @ top).norm() > 1e-2 * whole.norm():
                return False
        return True

    every = range(len(heads))
    if is_cut([W_V[h] @ W_O[h] for h in every]):
        return "that is the SVD of the weights: it does not know what the heads do in the text"
    if is_cut(tables):
        return "the mean was left in before the cut: the constant carries it, and a direction was spent on it"
    if is_cut([centre(resid @ W_V[h] @ W_O[h]) for h in every]) or is_cut([resid @ W_V[h] @ W_O[h] for h in every]):
        return "the stream at each position was weighed: a head reads what its pattern mixes"
    if is_cut([centre(sum(tables))] * len(heads)):
        return "all heads were cut to the directions of the layer's sum: each has its own"
    for h, (V, O, _), rank in zip(every, heads, ranks):
        top = torch.linalg.svd(centre(z[:, :, h].flatten(0, 1)), full_matrices=False).Vh[:rank]
        if (V @ O - W_V[h] @ top.T @ top @ W_O[h]).norm() > 1e-2 * (W_V[h] @ W_O[h]).norm():
            return "a head of yours is not the best of its rank: in what it adds to the stream, another cut loses less"
    return "z was decomposed: lengths there are not those in the stream, for W_O stretches them"
