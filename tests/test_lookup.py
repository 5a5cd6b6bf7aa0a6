"""A one-layer model is its tables: predictions by indexing them, against the model itself."""

import pytest
import torch

from walkthrough import models
from walkthrough.one_layer import lookup


def looked_up(model, tokens, **options):
    heads = sum(lookup.look_up(lookup.head_tables(model, head), tokens, **options) for head in range(model.cfg.n_heads))
    return (model.W_E @ model.W_U)[tokens] + heads


@pytest.fixture(scope="module")
def prompts():
    model = models.tiny(1, seed=6).double()
    tokens = torch.randint(1, 64, (3, 12), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 0
    return model, tokens


def test_the_lookup_table_is_the_model(prompts):
    model, tokens = prompts
    torch.testing.assert_close(looked_up(model, tokens), model(tokens))


def test_tokens_alone_are_the_model_with_its_positions_taken_away(prompts):
    model, tokens = prompts
    at = model.W_pos[: tokens.shape[1]]
    hooks = [
        ("blocks.0.attn.hook_q", lambda q, hook: q - torch.einsum("pd,hde->phe", at, model.W_Q[0])),
        ("blocks.0.attn.hook_k", lambda k, hook: k - torch.einsum("pd,hde->phe", at, model.W_K[0])),
    ]
    without = model.run_with_hooks(tokens, fwd_hooks=hooks)
    assert not torch.allclose(without, model(tokens))
    torch.testing.assert_close(looked_up(model, tokens, using=("token_token",)), without)


@pytest.mark.parametrize(("side", "using"), [("q", ("token_token", "token_pos")), ("k", ("token_token", "pos_token"))])
def test_tables_of_positions_are_on_the_right_side(prompts, side, using):
    model, tokens = prompts
    W = {"q": model.W_Q, "k": model.W_K}[side][0]
    remove = lambda x, hook: x - torch.einsum("pd,hde->phe", model.W_pos[: tokens.shape[1]], W)
    without = model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.0.attn.hook_{side}", remove)])
    torch.testing.assert_close(looked_up(model, tokens, using=using), without)


def test_hard_attention_reads_the_one_token_attended_to_most(prompts):
    model, tokens = prompts
    hard = lambda pattern, hook: (pattern == pattern.max(-1, keepdim=True).values).to(pattern)
    with_hook = model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_pattern", hard)])
    torch.testing.assert_close(looked_up(model, tokens, hard=True), with_hook)
