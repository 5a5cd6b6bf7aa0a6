"""Heads as linear maps, by a second road: loops, TransformerLens' own cache, and finite differences."""

import inspect

import pytest
import torch

from walkthrough import figures, models, paths

TOKENS = torch.tensor([[0, 5, 9, 5, 33, 12, 9, 5], [0, 1, 2, 3, 4, 60, 61, 2]])


@pytest.fixture(scope="module")
def model():
    return models.tiny(2, seed=3).double()


@pytest.fixture(scope="module")
def run(model):
    return model.run_with_cache(TOKENS)


def all_heads(model):
    return [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]


def test_pattern_and_output_are_those_of_the_model(model, run):
    _, cache = run
    for layer, head in all_heads(model):
        W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
        resid = cache["resid_pre", layer]
        pattern = paths.attention_pattern(resid, model.W_pos, W_Q, W_K)
        torch.testing.assert_close(pattern, cache["pattern", layer][:, head])
        output = paths.head_output(pattern, resid, W_V, W_O)
        torch.testing.assert_close(output, cache["z", layer][:, :, head] @ W_O)


def test_pattern_and_output_of_the_trained_model(two_layer):
    _, cache = two_layer.run_with_cache("for name, value in items:\n    print(name, value)\n")
    for layer in range(2):
        resid = cache["resid_pre", layer][0]
        total = torch.zeros_like(resid)
        for head in range(two_layer.cfg.n_heads):
            W_Q, W_K, W_V, W_O = models.head_weights(two_layer, layer, head)
            pattern = paths.attention_pattern(resid, two_layer.W_pos, W_Q, W_K)
            torch.testing.assert_close(pattern, cache["pattern", layer][0, head], rtol=1e-3, atol=1e-4)
            total += paths.head_output(pattern, resid, W_V, W_O)
        torch.testing.assert_close(total, cache["attn_out", layer][0], rtol=1e-3, atol=1e-3)


def test_pattern_by_loops():
    generator = torch.Generator().manual_seed(0)
    resid, W_pos, W_Q, W_K = (torch.randn(n, m, generator=generator) for n, m in [(5, 6), (7, 6), (6, 3), (6, 3)])
    pattern = paths.attention_pattern(resid, W_pos, W_Q, W_K)
    for query in range(5):
        q = (resid[query] + W_pos[query]) @ W_Q
        weights = torch.stack([(q @ ((resid[key] + W_pos[key]) @ W_K) / 3**0.5).exp() for key in range(query + 1)])
        torch.testing.assert_close(pattern[query, : query + 1], weights / weights.sum())
        assert (pattern[query, query + 1 :] == 0).all()


def test_output_by_loops():
    generator = torch.Generator().manual_seed(1)
    pattern, resid, W_V, W_O = (torch.randn(n, m, generator=generator) for n, m in [(4, 4), (4, 6), (6, 2), (2, 6)])
    output = paths.head_output(pattern, resid, W_V, W_O)
    for query in range(4):
        slow = sum(pattern[query, key] * (resid[key] @ W_V @ W_O) for key in range(4))
        torch.testing.assert_close(output[query], slow)


def test_a_layer_adds_the_sum_of_its_heads(model, run):
    _, cache = run
    for layer in range(2):
        for row in range(2):
            resid, pattern = cache["resid_pre", layer][row], cache["pattern", layer][row]
            added = paths.layer_output(pattern, resid, model.W_V[layer], model.W_O[layer])
            torch.testing.assert_close(added, cache["attn_out", layer][row])


def test_virtual_pattern_sums_over_the_middle_position_and_stays_a_causal_pattern(run):
    _, cache = run
    first, second = cache["pattern", 0][0, 1], cache["pattern", 1][0, 2]
    virtual = paths.virtual_pattern(first, second)
    for query in range(8):
        for key in range(8):
            slow = sum(second[query, middle] * first[middle, key] for middle in range(8))
            torch.testing.assert_close(virtual[query, key], slow)
    torch.testing.assert_close(virtual.sum(-1), torch.ones(8).double())
    assert (virtual.triu(1) == 0).all()
    assert not torch.allclose(virtual, first @ second)


def test_frozen_patterns_of_the_same_run_change_nothing(model, run):
    logits, cache = run
    patterns = [cache["pattern", layer] for layer in range(2)]
    torch.testing.assert_close(model.run_with_hooks(TOKENS, fwd_hooks=paths.freeze(patterns)), logits)


def test_frozen_patterns_are_what_a_run_uses(model, run):
    _, cache = run
    patterns = [cache["pattern", layer] for layer in range(2)]
    with model.hooks(fwd_hooks=paths.freeze(patterns)):
        _, other = model.run_with_cache(TOKENS.flip(0))
    for layer in range(2):
        torch.testing.assert_close(other["pattern", layer], patterns[layer])
    by_hand = [
        paths.head_output(patterns[1][:, head], other["resid_pre", 1], *models.head_weights(model, 1, head)[2:])
        for head in range(model.cfg.n_heads)
    ]
    torch.testing.assert_close(sum(by_hand), other["attn_out", 1])


def test_frozen_logits_are_linear_in_the_embedding_and_free_ones_are_not(model, run):
    _, cache = run
    x, y = cache["hook_embed"][:1], cache["hook_embed"][1:]

    def gap(hooks):
        f = lambda e: model.run_with_hooks(TOKENS[:1], fwd_hooks=[("hook_embed", lambda old, hook: e), *hooks])
        return ((f(x + 2 * y) - f(x) - 2 * f(y)).norm() / f(x + 2 * y).norm()).item()

    assert gap(paths.freeze([cache["pattern", layer][:1] for layer in range(2)])) < 1e-12
    assert gap([]) > 1e-3


def test_one_stored_sequence_serves_a_batch(model, run):
    _, cache = run
    hooks = paths.freeze([cache["pattern", layer][:1] for layer in range(2)])
    together = model.run_with_hooks(TOKENS, fwd_hooks=hooks)
    alone = torch.cat([model.run_with_hooks(row[None], fwd_hooks=hooks) for row in TOKENS])
    torch.testing.assert_close(together, alone)


def test_a_model_without_layers_has_nothing_to_freeze():
    assert paths.freeze([]) == []


def test_bad_input_gets_one_clear_sentence(model, run):
    _, cache = run
    W_Q, W_K, W_V, W_O = models.head_weights(model, 0, 0)
    too_long = torch.zeros(33, 32).double()
    with pytest.raises(ValueError, match="33 positions, but W_pos has only 32: shorten the prompt"):
        paths.attention_pattern(too_long, model.W_pos, W_Q, W_K)
    pattern = cache["pattern", 0][0, 0]
    with pytest.raises(ValueError, match="a pattern over 8 keys cannot read 7 positions"):
        paths.head_output(pattern, cache["resid_pre", 0][0, :7], W_V, W_O)
    unchecked = inspect.unwrap(paths.virtual_pattern)  # under test the annotation refuses it first
    with pytest.raises(ValueError, match="patterns of 8 and 7 positions"):
        unchecked(pattern, pattern[:7, :7])
    hooks = paths.freeze([cache["pattern", layer] for layer in range(2)])
    with pytest.raises(ValueError, match=r"blocks.0.attn.hook_pattern is \[2, 4, 7, 7\], not \[2, 4, 8, 8\]"):
        model.run_with_hooks(TOKENS[:, :7], fwd_hooks=hooks)
    with pytest.raises(ValueError, match="freeze the same prompt"):
        model.run_with_hooks(torch.cat([TOKENS, TOKENS[:1]]), fwd_hooks=hooks)


def test_side_by_side_shows_each_pattern_under_its_title(run):
    patterns = run[1]["pattern", 0][0, :3]
    axes = figures.basics.side_by_side(patterns, ["first", "second", "third"], list("abcdefgh"))
    assert [ax.get_title() for ax in axes] == ["first", "second", "third"]
    for ax, pattern in zip(axes, patterns):
        assert (ax.images[0].get_array() == pattern.numpy()).all()
        assert ax.images[0].get_clim() == (0, 1)
        assert ax.get_xlabel() == "key (looked at)"
    assert axes[0].get_ylabel() == "query (looking)"
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list("abcdefgh")


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
def test_paths_add_up_to_the_logits(n_layers):
    model = models.tiny(n_layers, seed=5).double()
    tokens = torch.randint(1, 64, (2, 7), generator=torch.Generator().manual_seed(1))
    terms = paths.path_expansion(model, tokens)
    assert len(terms) == 5**n_layers
    torch.testing.assert_close(sum(terms.values()), model(tokens))


def test_each_path_is_what_is_left_when_every_other_is_cut(model, run):
    """The slow way: frozen patterns, all heads but one zeroed; and what only a pair of heads can do together."""
    _, cache = run
    terms = paths.path_expansion(model, TOKENS)
    patterns = paths.freeze([cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(2)])

    def only(*kept):
        def cut(z, hook):
            for head in set(range(4)) - {head for layer, head in kept if layer == hook.layer()}:
                z[:, :, head] = 0
            return z

        cuts = [(f"blocks.{layer}.attn.hook_z", cut) for layer in range(2)]
        return model.run_with_hooks(TOKENS, fwd_hooks=[*patterns, *cuts])

    torch.testing.assert_close(terms["direct"], only())
    torch.testing.assert_close(terms["0:1"], only((0, 1)) - only())
    torch.testing.assert_close(terms["1:2"], only((1, 2)) - only())
    pair = only((0, 1), (1, 2)) - only((0, 1)) - only((1, 2)) + only()
    torch.testing.assert_close(terms["0:1 → 1:2"], pair)


def test_score_terms_by_loops():
    generator = torch.Generator().manual_seed(2)
    embed, W_pos, W_Q, W_K = (torch.randn(n, m, generator=generator) for n, m in [(5, 6), (7, 6), (6, 3), (6, 3)])
    terms = paths.score_terms(embed, W_pos, W_Q, W_K)
    for query in range(5):
        for key in range(5):
            gives, has = (embed[query], W_pos[query]), (embed[key], W_pos[key])
            slow = torch.stack([(q @ W_Q) @ (k @ W_K) / 3**0.5 for q in gives for k in has])
            torch.testing.assert_close(terms[:, query, key], slow)


def test_score_terms_add_up_to_what_the_model_looks_at():
    model = models.tiny(1, seed=3).double()
    _, cache = model.run_with_cache(TOKENS)
    for head in range(4):
        W_Q, W_K, _, _ = models.head_weights(model, 0, head)
        terms = paths.score_terms(cache["hook_embed"], model.W_pos, W_Q, W_K)
        scores = cache["q", 0][:, :, head] @ cache["k", 0][:, :, head].mT / 8**0.5
        torch.testing.assert_close(terms.sum(0), scores)
        torch.testing.assert_close(
            terms.sum(0).masked_fill(torch.ones(8, 8).triu(1).bool(), -torch.inf).softmax(-1),
            cache["pattern", 0][:, head],
        )
        without = paths.score_terms(cache["hook_embed"], 0 * model.W_pos, W_Q, W_K)
        torch.testing.assert_close(without[0], terms[0])
        assert (without[1:] == 0).all()
        torch.testing.assert_close(terms[3, 0], terms[3, 1])  # positions alone do not know the text
        general = paths.attention_score_terms(model, TOKENS, 0, head)
        torch.testing.assert_close(terms, torch.stack(list(general.values())))


def test_score_terms_refuse_a_prompt_longer_than_the_positions():
    model = models.tiny(1)
    with pytest.raises(ValueError, match="33 positions, but W_pos has only 32: shorten the prompt"):
        paths.score_terms(torch.zeros(33, 32), model.W_pos, model.W_Q[0, 0], model.W_K[0, 0])
