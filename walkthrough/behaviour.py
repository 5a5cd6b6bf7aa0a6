"""Running a model: what its heads attend to, and what it loses where."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import bos

# A hook for runs of which no logits are wanted, or the last position's only: those of all others are not computed.
LAST_LOGITS = ("unembed.hook_in", lambda resid, hook: resid[:, -1:])


def loss_per_position(
    logits: Float[Tensor, "batch pos d_vocab"], rows: Int[Tensor, "batch pos_and_one"]
) -> Float[Tensor, "batch pos"]:
    """Cross-entropy of each next token, in nats; rows are one longer than the logits."""
    log_probs = logits.log_softmax(-1)
    next_tokens = rows[:, 1:, None].long()
    return -log_probs.gather(-1, next_tokens).squeeze(-1)


def repeated_tokens(
    d_vocab: int, length: int, times: int, batch: int, seed: int = 0, bos: int = 0
) -> Int[Tensor, "batch pos"]:
    """`<BOS>`, then `length` uniformly random tokens, `times` times over (paper: "Induction heads").

    `bos` is token 0 in the course's models; of another model, `architecture.bos(model)`.
    """
    generator = torch.Generator().manual_seed(seed)
    once = torch.randint(1, d_vocab, (batch, length), generator=generator)
    rows = torch.cat([torch.zeros(batch, 1, dtype=torch.long), once.repeat(1, times)], dim=1)
    return begun_with(rows, bos)


def begun_with(rows: Int[Tensor, "batch pos"], bos: int) -> Int[Tensor, "batch pos"]:
    """Rows that were made for models whose `<BOS>` is token 0, for one with another: the two ids change places."""
    return torch.where(rows == 0, bos, torch.where(rows == bos, 0, rows))


def previous_token_score(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, " head"]:
    """Average attention each head pays to the position just before its own (Olsson et al. 2022).

    Queries 0 and 1 are left out: before 0 is nothing, before 1 only `<BOS>`, where heads rest.
    """
    query = torch.arange(2, pattern.shape[-1])
    to_previous = pattern[:, :, query, query - 1]  # batch, head, query
    return to_previous.mean((0, -1))


def prefix_matching_score(pattern: Float[Tensor, "batch head query key"], length: int) -> Float[Tensor, " head"]:
    """Average attention, on repeated tokens, to those that followed earlier copies of the present one.

    `pattern` is of `repeated_tokens(..., length, times, ...)`; queries of the first copy have nothing to match and
    are left out. All earlier copies count together (Olsson et al. 2022, appendix).
    """
    n_pos = pattern.shape[-1]
    query, key = torch.meshgrid(torch.arange(n_pos), torch.arange(n_pos), indexing="ij")
    follows = ((query - key) % length == length - 1) & (key < query) & (key > 1)
    return (pattern * follows).sum(-1)[..., length + 1 :].mean((0, -1))


def measure(model, rows: Int[Tensor, "batch pos"], length: int = 60, seed: int = 1) -> dict:
    """The numbers of a model card, from held-out rows and from random tokens said twice; losses in nats.

    `model` is a bridge; `rows` start with `<BOS>` and are one longer than what it is given. Early positions are 30
    to 60, late ones 200 to 256. Standard errors are over rows.
    """
    losses = torch.cat([loss_per_position(model(part[:, :-1]), part) for part in rows.long().split(16)])
    early, late = losses[:, 30:60].mean(1), losses[:, 200:].mean(1)
    stderr = lambda x: (x.std() / len(x) ** 0.5).item()
    twice = repeated_tokens(model.cfg.d_vocab, length, 2, 32, seed, bos(model))
    logits, cache = model.run_with_cache(twice)
    copies = loss_per_position(logits[:, :-1], twice)
    measured = {
        "held_out_loss": losses.mean().item(), "held_out_loss_stderr": stderr(losses.mean(1)),
        "early_loss": early.mean().item(), "late_loss": late.mean().item(),
        "late_minus_early": (late - early).mean().item(), "late_minus_early_stderr": stderr(late - early),
        "first_copy_loss": copies[:, :length].mean().item(), "second_copy_loss": copies[:, length:].mean().item(),
    }  # fmt: skip
    for layer in range(model.cfg.n_layers):
        on_code = [
            previous_token_score(model.run_with_cache(part[:, :-1])[1][f"blocks.{layer}.attn.hook_pattern"])
            for part in rows[:64].long().split(16)
        ]
        measured[f"previous_token_layer_{layer}"] = torch.stack(on_code).mean(0).tolist()
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"]
        measured[f"prefix_matching_layer_{layer}"] = prefix_matching_score(pattern, length).tolist()
    return measured


def copy_loss(model, tokens: Int[Tensor, "batch pos"], length: int, hooks=()) -> Float[Tensor, " batch"]:
    """Mean loss in nats of each prompt on all copies after the first; `tokens` are `repeated_tokens(…, length, …)`.

    `model` is a bridge, and `hooks` change its run on all tokens but the last. Raises ValueError if nothing is repeated.
    """
    if tokens.shape[1] <= length + 1:
        raise ValueError(f"{tokens.shape[1] - 1} tokens after <BOS> hold no second copy of {length}: say them twice")
    later_only = ("unembed.hook_in", lambda resid, hook: resid[:, length:])  # of the first copy no logits are wanted
    logits = model.run_with_hooks(tokens[:, :-1], fwd_hooks=[*hooks, later_only])
    return loss_per_position(logits, tokens[:, length:]).mean(1)


def two_matches(
    d_vocab: int, batch: int, gap: int = 10, seed: int = 0
) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """Random prompts that end with a b, after one a b … and one x b …, and the positions after those two.

    The first position follows the match of two tokens, the second that of one; which comes first alternates from row
    to row. Raises ValueError for a gap too small to keep them apart.
    """
    if gap < 4:
        raise ValueError(f"a gap of {gap} tokens lets the two places touch: take 4 or more")
    tokens = torch.randint(1, d_vocab, (batch, 3 * gap + 1), generator=torch.Generator().manual_seed(seed))
    tokens[:, 0] = 0
    row, swapped = torch.arange(batch), torch.arange(batch) % 2
    both, one = gap + gap * swapped, gap + gap * (1 - swapped)
    tokens[row, both - 2], tokens[row, both - 1], tokens[row, one - 1] = tokens[:, -2], tokens[:, -1], tokens[:, -1]
    return tokens, both, one
