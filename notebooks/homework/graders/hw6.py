"""The tasks of homework 6: the least edit, a prompt foretold from weights, a layer made smaller, an explanation put_to_test."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from graders import hw6_cut, hw6_edit, hw6_prompt
from graders.hw4_runs import two_layers
from walkthrough import paths
from walkthrough.homework.task import Mistake, Task

PRODUCTS, INSIDE = "notebook 03, “Only two products matter”", "notebook 09, “Found in the weights”"
MIXED, BREAKS = "notebook 03, “What a head moves”", "notebook 09, “Found by what breaks”"
REFUTE, LUCK = "notebook 09, “Attempts to refute it”", "notebook 10, “How much of this is luck?”"


# hw6-4 an explanation put_to_test: is it enough, is it needed, is it better than others of its size


def explanations(seed: int) -> list[tuple]:
    """Two models with prompts and others, the tokens that these tell apart most, and some heads said to explain it."""
    cases = []
    for i, (d_model, batch, pos, n) in enumerate(((18, 4, 9, 2), (24, 3, 11, 3))):
        model, generator = two_layers(seed + i, d_model, 3), torch.Generator().manual_seed(seed + i)
        prompts, others = torch.randint(1, 13, (2, batch, pos), generator=generator)
        change = model(prompts)[:, -1] - model(others)[:, -1]
        every = every_head(model)
        heads = [every[place] for place in torch.randperm(len(every), generator=generator)[:n].tolist()]
        unused = two_layers(seed + i, d_model, 3)  # a bridge that has run cannot be copied well
        cases.append((unused, prompts, others, change.argmax(-1), change.argmin(-1), sorted(heads)))
    return cases


def every_head(model) -> list[tuple[int, int]]:
    """All heads, as (layer, head)."""
    return list(itertools.product(range(model.cfg.n_layers), range(model.cfg.n_heads)))


def slow_tests(model, prompts, others, right, wrong, heads) -> Tensor:
    """Prompt by prompt, with the other run's z put in head by head."""
    every, caches = every_head(model), [model.run_with_cache(other[None])[1] for other in others]

    def said(swapped) -> float:
        """The mean difference of the two logits with these heads as on the other prompts."""
        total = 0.0
        for row, cache, good, bad in zip(prompts, caches, right, wrong):

            def put(z, hook, cache=cache):
                """The other run's output for the heads of this layer that are swapped."""
                z = z.clone()
                for layer, head in swapped:
                    if layer == hook.layer():
                        z[:, :, head] = cache["z", layer][:, :, head]
                return z

            hooks = [(f"blocks.{layer}.attn.hook_z", put) for layer in range(model.cfg.n_layers)]
            logits = model.run_with_hooks(row[None], fwd_hooks=hooks)[0, -1].double()
            total += (logits[good] - logits[bad]).item() / len(prompts)
        return total

    full, floor = said([]), said(every)
    enough = lambda chosen: (said([head for head in every if head not in chosen]) - floor) / (full - floor)
    mine = enough(heads)
    rivals = [enough(some) for some in itertools.combinations(every, len(heads)) if set(some) != set(heads)]
    return torch.tensor([mine, (full - said(heads)) / (full - floor), sum(x >= mine for x in rivals) / len(rivals)])


def difference(logits: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """The logit of one token less that of another, at the last position [prompt]."""
    rows = range(len(right))
    return logits[rows, -1, right] - logits[rows, -1, wrong]


def in_one_run(model, prompts, others, kept: Tensor, put: str, held: bool, frozen: bool) -> Tensor:
    """Logits [set prompt pos out] with the heads that are not `kept` [set layer head] given another output.

    `put` says which: what they have on the other prompts ("others", or, at the last position alone, "end"), the mean of
    that ("mean"), or nothing ("zero"). `held`: heads that stay put out what they did; `frozen`: patterns are what they were.
    """
    own, other = (model.run_with_cache(rows)[1] for rows in (prompts, others))

    def change(z: Tensor, hook) -> Tensor:
        """The outputs of one layer, all sets below one another."""
        layer, new = hook.layer(), other["z", hook.layer()]
        mine, z = own["z", layer], z.unflatten(0, (len(kept), -1))
        new = {"mean": new.mean(0, keepdim=True).expand_as(new), "zero": torch.zeros_like(new)}.get(put, new)
        new = torch.cat([z[:, :, :-1], new[:, -1:].expand_as(z[:, :, -1:])], 2) if put == "end" else new.expand_as(z)
        return torch.where(kept[:, layer][:, None, None, :, None], mine if held else z, new).flatten(0, 1)

    hooks = [(f"blocks.{layer}.attn.hook_z", change) for layer in range(model.cfg.n_layers)]
    if frozen:
        patterns = [own["pattern", layer].repeat(len(kept), 1, 1, 1) for layer in range(model.cfg.n_layers)]
        hooks += paths.freeze(patterns)
    return model.run_with_hooks(prompts.repeat(len(kept), 1), fwd_hooks=hooks).unflatten(0, (len(kept), -1))


def put_to_test(
    model, prompts, others, right, wrong, heads, *, read: Callable = difference, put: str = "others", held: bool = False,
    frozen: bool = False, single: bool = False, floored: bool = True, floor_of_others: bool = False,
    exchanged: bool = False, own_too: bool = False, by_need: bool = False, any_size: bool = False,
    counted: Callable = lambda mine, rivals: (rivals >= mine - 1e-6).double().mean(),
) -> Tensor:  # fmt: skip
    """The same three numbers from one run of all sets, with any part changed; see `in_one_run` for the first few."""
    every = every_head(model)
    sizes = range(1, len(every)) if any_size else (len(heads),)
    rivals = [some for n in sizes for some in itertools.combinations(every, n) if own_too or set(some) != set(heads)]
    rest = lambda some: [head for head in every if head not in some]
    sets = [every, [], heads, rest(heads), *(rest(some) if by_need else some for some in rivals)]
    kept = torch.tensor([[head in some for head in every] for some in sets]).unflatten(1, (model.cfg.n_layers, -1))
    logits = in_one_run(model, prompts, others, kept, put, held, frozen)
    each = torch.stack([read(one, right, wrong) for one in logits]).double()  # [set prompt]
    if floor_of_others:
        each[1] = read(model(others), right, wrong)
    each = each if single else each.mean(1, keepdim=True)
    floor = each[1] if floored else torch.zeros_like(each[1])
    enough, needed = (each - floor) / (each[0] - floor), (each[0] - each) / (each[0] - floor)
    score = (needed if by_need else enough).mean(1)
    rank = counted(score[3 if by_need else 2], score[4:])
    return torch.stack([enough[3 if exchanged else 2].mean(), needed[2 if exchanged else 3].mean(), rank])


def exchange(row: Tensor) -> Tensor:
    """The first two numbers exchanged."""
    return row[[1, 0, 2]]


def all_places(logits: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """The difference, averaged over positions."""
    rows = range(len(right))
    return (logits[rows, :, right] - logits[rows, :, wrong]).mean(-1)


def one_logit(logits: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """One of the two alone."""
    return logits[range(len(right)), -1, right]


def one_log_prob(logits: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """One of the two alone, as a log-probability."""
    return logits[range(len(right)), -1].log_softmax(-1)[range(len(right)), right]


def probabilities(logits: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """The difference of probabilities."""
    return difference(logits.softmax(-1), right, wrong)


TEST_MISTAKES = (
    Mistake("the first two are exchanged: enough is what the heads do alone, needed is what is lost without them", REFUTE,
            lambda *case: exchange(put_to_test(*case))),
    Mistake("the explanation and all other heads are exchanged: to see whether it is enough, the OTHERS are swapped", REFUTE,
            lambda *case: put_to_test(*case, exchanged=True)),
    Mistake("nothing was taken off for what is left when every head is swapped: the direct path says that much without "
            "any of them", REFUTE, lambda *case: put_to_test(*case, floored=False)),
    Mistake("the floor is the run on the other prompts: there the direct path reads other tokens, too", REFUTE,
            lambda *case: put_to_test(*case, floor_of_others=True)),
    Mistake("the heads were deleted, not swapped: then later heads read a stream of a size they never saw", BREAKS,
            lambda *case: put_to_test(*case, put="zero")),
    Mistake("the mean over the other prompts was put in: each prompt has its own other", BREAKS,
            lambda *case: put_to_test(*case, put="mean")),
    Mistake("swapped at the last position only: later heads still read what the swapped ones wrote elsewhere", BREAKS,
            lambda *case: put_to_test(*case, put="end")),
    Mistake("the heads that stay were held to their untouched output: they are to run freely, on what they now read", BREAKS,
            lambda *case: put_to_test(*case, held=True)),
    Mistake("patterns were frozen: then no head can be missed for where it makes others look", BREAKS,
            lambda *case: put_to_test(*case, frozen=True)),
    Mistake("only the right token was read: a difference of two logits was asked", BREAKS,
            lambda *case: put_to_test(*case, read=one_logit)),
    Mistake("the log-probability of the right token was read: a difference of two logits was asked", BREAKS,
            lambda *case: put_to_test(*case, read=one_log_prob)),
    Mistake("probabilities were subtracted: a difference of logits was asked", BREAKS,
            lambda *case: put_to_test(*case, read=probabilities)),
    Mistake("all positions were averaged: the difference is that at the last", BREAKS,
            lambda *case: put_to_test(*case, read=all_places)),
    Mistake("a mean of ratios: take the means over prompts first, for a single prompt may divide by next to nothing", LUCK,
            lambda *case: put_to_test(*case, single=True)),
    Mistake("your own set is among the rivals: the others were asked", LUCK, lambda *case: put_to_test(*case, own_too=True)),
    Mistake("the third is the share of sets that do worse: those that do as well or better were asked", LUCK,
            lambda *case: put_to_test(*case, counted=lambda mine, rivals: (rivals < mine).double().mean())),
    Mistake("the third is a number of sets: their share was asked", LUCK,
            lambda *case: put_to_test(*case, counted=lambda mine, rivals: (rivals >= mine - 1e-6).double().sum())),
    Mistake("sets of every size were the rivals: larger ones do better for nothing", LUCK,
            lambda *case: put_to_test(*case, any_size=True)),
    Mistake("the rivals were compared by what is lost without them: by what they do alone was asked", LUCK,
            lambda *case: put_to_test(*case, by_need=True)),
)  # fmt: skip


TASKS: dict[str, Task] = {
    "hw6-1": Task("least_edit", 4, PRODUCTS, hw6_edit.edits, judge=hw6_edit.least_edit),
    "hw6-2": Task("blind_hijack", 4, INSIDE, hw6_prompt.targets, judge=hw6_prompt.hijacks),
    "hw6-3": Task("cut_layer", 4, MIXED, hw6_cut.layers, judge=hw6_cut.cut_layer),
    "hw6-4": Task("put_to_test", 4, REFUTE, explanations, slow_tests, TEST_MISTAKES),
}
