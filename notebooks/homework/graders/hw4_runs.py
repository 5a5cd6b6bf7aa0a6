"""Task 5 of homework 4: runs with one path changed."""

from collections.abc import Callable

import torch
from torch import Tensor

from walkthrough import behaviour, interventions, models, paths
from walkthrough.homework.task import Mistake

VIRTUAL, BROKEN = "notebook 07, “Virtual heads, and what is not one”", "notebook 09, “Found by what breaks”"
BEHAVIOUR = "notebook 08, “Found by what they do”"


def two_layers(seed: int, d_model: int, n_heads: int):
    """A random model whose patterns are far from even, with heads of different sizes, that rely on one another."""
    model = models.PaperModel(models.config(2, d_model=d_model, n_heads=n_heads, n_ctx=20, d_vocab=13), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.tok_embed.weight.mul_(8)
        model.head.weight.mul_(5)
        for block in model.layers:
            block.attn.q.weight.mul_(1.5)
            block.attn.o.weight.mul_(
                2 + 2 * torch.rand(n_heads, generator=generator).repeat_interleave(d_model // n_heads)
            )
    return models.bridge(model, name="tiny")


def raw(x: Tensor) -> Tensor:
    """The number as it is: what stands for `unit` where nothing is normalised."""
    return x


# hw4-5 what one head loses when one of its inputs hears of another prompt


def prompts(seed: int) -> list[tuple]:
    """A model, tokens said twice or three times, others as long, the length of a copy, and a head of each layer.

    The first model's heads are neither the first nor the last of their layers.
    """
    cases = []
    for i, (d_model, n_heads, length, times, batch) in enumerate(((16, 4, 6, 2, 4), (20, 5, 5, 3, 2))):
        inner = torch.arange(n_heads) if i else torch.arange(1, n_heads - 1)
        early, late = inner[torch.randperm(len(inner), generator=torch.Generator().manual_seed(seed + i))][:2].tolist()
        tokens, others = (behaviour.repeated_tokens(13, length, times, batch, seed + i + more) for more in (0, 1000))
        cases.append((two_layers(seed + i, d_model, n_heads), tokens, others, length, (0, early), (1, late)))
    return cases


def costs(
    model, tokens: Tensor, others: Tensor, length: int, early: tuple, late: tuple, *,
    add: float = 1.0, take: float = 1.0, readers: slice | None = None, frozen: bool = False, whole: bool = False,
    letters: str = "qkv", which: slice | None = None, through: str = "qkv", put: bool = False, gather: bool = False,
    unit: Callable = torch.log,
) -> Tensor:  # fmt: skip
    """What it costs [input prompt]: the part that the early head wrote is taken from, and another's added to, q, k, v."""
    name = "blocks.0.attn.hook_z"
    runs = [model.run_with_cache(rows[:, :-1])[1] for rows in (tokens, others)]
    was, other = (run[name][:, :, early[1]] @ model.W_O[early] for run in runs)
    change, readers = add * other - take * was, readers or slice(late[1], late[1] + 1)
    W_in = {"q": model.W_Q[1], "k": model.W_K[1], "v": model.W_V[1]}
    keep = paths.freeze([runs[0]["pattern", layer] for layer in range(2)]) if frozen else []

    def loss(hooks: list) -> Tensor:
        """Of the copies after the first, or of other positions."""
        logits = model.run_with_hooks(tokens[:, :-1], fwd_hooks=hooks)
        said = (logits if unit is raw else unit(logits.softmax(-1))).gather(-1, tokens[:, 1:, None])[..., 0]
        return -said[:, which or slice(length, None)].mean(1)

    def patched(letter: str) -> tuple:
        """The hook that changes one input."""
        part = torch.einsum("bpm,hmd->bphd", other if put else change, W_in[through["qkv".index(letter)]])

        def patch(x: Tensor, hook) -> Tensor:
            """The same but for what was asked."""
            x, new = x.clone(), runs[1][hook.name] if whole else part + (0 if put else x)
            x[:, :, readers] = new[:, :, readers]
            return x

        return f"blocks.1.attn.hook_{letter}", patch

    hooks = [patched(letter) for letter in letters]
    hooks = [hooks[: i + 1] if gather else hooks[i : i + 1] for i in range(len(hooks))]
    return torch.stack([loss(some + keep) - loss([]) for some in hooks])


def everywhere(model, tokens: Tensor, others: Tensor, length: int, early: tuple, late: tuple) -> Tensor:
    """The early head's output on other prompts, for everybody who reads it."""
    hooks = interventions.swap(model, [early], others[:, :-1])
    change = behaviour.copy_loss(model, tokens, length, hooks) - behaviour.copy_loss(model, tokens, length)
    return change.expand(3, -1)


COST_MISTAKES = (
    Mistake("all three rows went through W_V: a function made in a loop looks the loop's variable up when it is called",
            BROKEN, lambda *case: costs(*case, through="vvv")),
    Mistake("the change has the wrong sign: what the early head wrote here goes, what it writes there comes", BROKEN,
            lambda *case: costs(*case, add=-1.0, take=-1.0)),
    Mistake("the whole input was set to the other prompt's part: only what the early head wrote is exchanged, the rest "
            "of the input stays", BROKEN, lambda *case: costs(*case, put=True)),
    Mistake("the hooks pile up: each row changes ONE input, and the others are as they were", BROKEN,
            lambda *case: costs(*case, gather=True)),
    Mistake("Q and K are exchanged: the first row is for what the queries read", BROKEN,
            lambda *case: costs(*case, letters="kqv")),
    Mistake("every head of the later layer was given the other prompt: only one should be", BROKEN,
            lambda *case: costs(*case, readers=slice(None))),
    Mistake("the early head is 0:0 in your code: `early` says which one", BROKEN,
            lambda *case: costs(*case[:4], (0, 0), case[5])),
    Mistake("the late head is 1:0 in your code: `late` says which one", BROKEN, lambda *case: costs(*case[:5], (1, 0))),
    Mistake("what the early head wrote was only taken out: put in what it writes on the other prompts", BROKEN,
            lambda *case: costs(*case, add=0.0)),
    Mistake("what it writes on the other prompts was added, but what it wrote here was not taken out", BROKEN,
            lambda *case: costs(*case, take=0.0)),
    Mistake("patterns were frozen: then queries and keys cannot matter, and where the head looks is what they decide",
            VIRTUAL, lambda *case: costs(*case, frozen=True)),
    Mistake("the whole query, key or value comes from the other prompts: only the part that the early head wrote should",
            BROKEN, lambda *case: costs(*case, whole=True)),
    Mistake("the early head's output was exchanged for everybody: each row is about ONE input of ONE head", BROKEN,
            everywhere),
    Mistake("the first copy was averaged: it has nothing to repeat", BEHAVIOUR,
            lambda *case: costs(*case, which=slice(case[3]))),
    Mistake("all positions were averaged: leave the first copy out", BEHAVIOUR,
            lambda *case: costs(*case, which=slice(None))),
    Mistake("off by one: the copies after the first begin one earlier; the loss at a position is that of the token after",
            BEHAVIOUR, lambda *case: costs(*case, which=slice(case[3] + 1, None))),
    Mistake("off by one: the last token of the first copy was counted too; the loss at a position is that of the token "
            "after", BEHAVIOUR, lambda *case: costs(*case, which=slice(case[3] - 1, None))),
    Mistake("only the last copy was averaged: take all after the first", BEHAVIOUR,
            lambda *case: costs(*case, which=slice(-case[3], None))),
    Mistake("that is the loss itself: its rise over the untouched run was asked", BROKEN,
            lambda *case: costs(*case) + behaviour.copy_loss(case[0], case[1], case[3])),
    Mistake("probabilities were subtracted: a loss in nats is made of logarithms", BEHAVIOUR,
            lambda *case: costs(*case, unit=torch.clone)),
    Mistake("logits are no nats: a change may move all logits alike", BEHAVIOUR,
            lambda *case: costs(*case, unit=raw)),
    Mistake("the sign is flipped: a loss that rises counts as positive", BROKEN, lambda *case: -costs(*case)),
    Mistake("averaged over prompts: give each its own number", BROKEN, lambda *case: costs(*case).mean(1)),
    Mistake("summed over positions, where their mean was asked", BROKEN,
            lambda *case: costs(*case) * (case[1].shape[1] - 1 - case[3])),
)  # fmt: skip
