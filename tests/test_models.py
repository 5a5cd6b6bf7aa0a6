"""Loading, refusing, and the paper's formulas written out beside what the bridge computes."""

import json
import math
import pickle
import shutil

import pytest
import torch
from transformer_lens import TransformerBridge

from walkthrough import models

CODE = "def area(width, height):\n    return width *"


def by_the_formulas(model, tokens):
    """Logits and patterns with loops over layers, heads and queries, from W_E .. W_U alone."""
    resid = model.W_E[tokens]
    positions = models.sinusoids(model.cfg.n_ctx, model.cfg.d_model)[: len(tokens)]
    patterns = []
    for layer in range(model.cfg.n_layers):
        added = torch.zeros_like(resid)
        for head in range(model.cfg.n_heads):
            W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
            pattern = torch.zeros(len(tokens), len(tokens))
            for i in range(len(tokens)):
                q = (resid[i] + positions[i]) @ W_Q
                scores = torch.stack([q @ ((resid[j] + positions[j]) @ W_K) for j in range(i + 1)])
                pattern[i, : i + 1] = (scores / math.sqrt(model.cfg.d_head)).softmax(0)
            patterns.append(pattern)
            added += pattern @ resid @ W_V @ W_O
        resid = resid + added
    return resid @ model.W_U, patterns


@pytest.mark.parametrize("name", models.NAMES + models.SMALL)
def test_a_shipped_model_computes_the_papers_formulas_and_nothing_else(name):
    model = models.load(name)
    assert isinstance(model, TransformerBridge)
    tokens = model.to_tokens(CODE)
    logits, cache = model.run_with_cache(tokens)
    expected, patterns = by_the_formulas(model, tokens[0])
    torch.testing.assert_close(logits[0], expected, rtol=1e-4, atol=1e-3)
    for i, pattern in enumerate(patterns):
        layer, head = divmod(i, model.cfg.n_heads)
        torch.testing.assert_close(cache[f"blocks.{layer}.attn.hook_pattern"][0, head], pattern, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
def test_tiny_models_of_any_depth(n_layers):
    model = models.tiny(n_layers, seed=n_layers)
    tokens = torch.arange(20)
    expected, _ = by_the_formulas(model, tokens)
    torch.testing.assert_close(model(tokens[None])[0], expected, rtol=1e-4, atol=1e-5)


def test_tiny_depends_on_its_seed_alone():
    torch.manual_seed(1)
    first = models.tiny(2, seed=3)
    torch.manual_seed(2)
    again, other = models.tiny(2, seed=3), models.tiny(2, seed=4)
    assert torch.equal(first.W_Q, again.W_Q)
    assert not torch.equal(first.W_Q, other.W_Q)


def test_an_untrained_model_has_the_shipped_shape_and_weights_of_its_own_seed(two_layer):
    first, again, other = (models.untrained(2, seed) for seed in (0, 0, 1))
    assert {name: tuple(p.shape) for name, p in first.named_parameters()} == {
        name: tuple(p.shape) for name, p in two_layer.named_parameters()
    }
    torch.testing.assert_close(first.W_E, again.W_E)
    assert not torch.equal(first.W_E, other.W_E)
    assert not torch.equal(first.W_E, two_layer.W_E)


def test_bos_comes_first_unless_it_is_not_wanted(two_layer):
    assert two_layer.to_str_tokens("def f")[0] == models.BOS
    assert two_layer.to_tokens("def f")[0, 0] == 0
    assert two_layer.to_tokens("def f", prepend_bos=False)[0, 0] != 0
    assert two_layer(CODE).shape[1] == two_layer.to_tokens(CODE).shape[1]


def test_the_tokenizer_loses_nothing(two_layer):
    text = "if x:\n\tπ = 'naïve ☃'  # tab, accent, snowman\n\n\n"
    assert two_layer.to_string(two_layer.to_tokens(text, prepend_bos=False)[0]) == text
    assert len(two_layer.tokenizer) == two_layer.cfg.d_vocab


def test_weights_have_the_fields_shapes(two_layer):
    n_layers, n_heads, d_model, d_head, d_vocab = 2, 8, 256, 32, two_layer.cfg.d_vocab
    assert two_layer.W_E.shape == (d_vocab, d_model)
    assert two_layer.W_U.shape == (d_model, d_vocab)
    for name in ("W_Q", "W_K", "W_V"):
        assert getattr(two_layer, name).shape == (n_layers, n_heads, d_model, d_head)
    assert two_layer.W_O.shape == (n_layers, n_heads, d_head, d_model)
    assert not any(bias.any() for bias in (two_layer.b_Q, two_layer.b_K, two_layer.b_V, two_layer.b_O))
    torch.testing.assert_close(two_layer.QK.AB[1, 3], two_layer.W_Q[1, 3] @ two_layer.W_K[1, 3].T)
    torch.testing.assert_close(two_layer.OV.AB[1, 3], two_layer.W_V[1, 3] @ two_layer.W_O[1, 3])
    scores = two_layer.all_composition_scores("K")
    earlier, later = two_layer.OV.AB[0, 2], two_layer.QK.AB[1, 5]
    expected = (later @ earlier.T).norm() / later.norm() / earlier.norm()
    torch.testing.assert_close(scores[0, 2, 1, 5], expected, rtol=1e-4, atol=1e-6)


def test_an_edit_made_by_a_hook_takes_effect(two_layer):
    tokens = two_layer.to_tokens(CODE)
    clean, cache = two_layer.run_with_cache(tokens)

    def silence(z, hook):
        z[:, :, 2] = 0
        return z

    edited = two_layer.run_with_hooks(tokens, fwd_hooks=[("blocks.1.attn.hook_z", silence)])
    removed = cache["blocks.1.attn.hook_z"][:, :, 2] @ two_layer.W_O[1, 2] @ two_layer.W_U
    torch.testing.assert_close(clean - edited, removed, rtol=1e-3, atol=1e-3)


def test_a_padded_prompt_is_the_prompt(two_layer):
    alone = two_layer(two_layer.to_tokens("import os"))
    padded = two_layer(two_layer.to_tokens(["import os", CODE]))
    torch.testing.assert_close(padded[0, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-4)


def one_sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


def test_a_prompt_longer_than_the_context_is_refused_not_cut(two_layer):
    for run in (two_layer.to_tokens, two_layer, two_layer.run_with_cache):
        with pytest.raises(ValueError) as error:
            run("x " * 400)
        assert "context is 256" in one_sentence(error)
    with pytest.raises(ValueError, match="context is 256"):
        two_layer(torch.zeros(1, 257, dtype=torch.long))
    assert two_layer(torch.zeros(1, 256, dtype=torch.long)).shape[1] == 256


def test_an_unknown_model_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError) as error:
        models.load("three-layer")
    assert all(name in one_sentence(error) for name in ("three-layer", *models.NAMES))


@pytest.mark.parametrize(
    ("layer", "head", "right"), [(2, 0, "layers 0 to 1"), (-1, 0, "layers 0 to 1"), (0, 8, "heads 0 to 7")]
)
def test_a_head_that_does_not_exist_is_refused(two_layer, layer, head, right):
    with pytest.raises(ValueError) as error:
        models.head_weights(two_layer, layer, head)
    assert right in one_sentence(error)


def test_a_model_without_heads_says_so(zero_layer):
    with pytest.raises(ValueError, match="no layers"):
        models.head_weights(zero_layer, 0, 0)


def test_a_hook_that_does_not_exist_is_refused(two_layer):
    with pytest.raises(ValueError, match="layers 0 to 1"):
        two_layer.run_with_hooks(CODE, fwd_hooks=[("blocks.2.attn.hook_z", lambda z, hook: z)])
    with pytest.raises(ValueError, match="hook_dict"):
        two_layer.run_with_hooks(CODE, fwd_hooks=[("blocks.1.attn.hook_zed", lambda z, hook: z)])


def test_text_that_is_not_one_token_is_refused(two_layer):
    assert two_layer.to_string(two_layer.to_single_token(" self")) == " self"
    with pytest.raises(ValueError) as error:
        two_layer.to_single_token("foo bar")
    assert "not one token" in one_sentence(error)
    with pytest.raises(ValueError, match="not one token"):
        two_layer.to_single_token("")


@pytest.fixture
def copy_of_weights(tmp_path):
    for name in ("zero-layer", "one-layer"):
        for suffix in ("json", "safetensors"):
            shutil.copy(models.WEIGHTS / f"{name}.{suffix}", tmp_path)
    shutil.copy(models.WEIGHTS / "tokenizer.json", tmp_path)
    return tmp_path


def test_a_damaged_swapped_or_missing_weight_file_is_refused(copy_of_weights):
    file = copy_of_weights / "one-layer.safetensors"
    assert models.load("one-layer", copy_of_weights).cfg.n_layers == 1
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError) as error:
        models.load("one-layer", copy_of_weights)
    assert "damaged or was swapped" in one_sentence(error)
    shutil.copy(copy_of_weights / "zero-layer.safetensors", file)
    with pytest.raises(ValueError, match="damaged or was swapped"):
        models.load("one-layer", copy_of_weights)
    file.unlink()
    with pytest.raises(ValueError, match="missing"):
        models.load("one-layer", copy_of_weights)


def test_nothing_is_ever_unpickled(copy_of_weights, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    assert models.load("one-layer", copy_of_weights).cfg.n_layers == 1


def test_positions_never_enter_the_stream(two_layer):
    _, cache = two_layer.run_with_cache(CODE)
    torch.testing.assert_close(cache["blocks.0.hook_resid_pre"], two_layer.W_E[two_layer.to_tokens(CODE)])


def test_cards_are_plain_json_with_what_was_promised():
    for name in models.NAMES + models.SMALL:
        card = models.read_card(name)
        assert {"config", "recipe", "corpus", "seed", "steps", "tokens", "sha256", "measured"} <= set(card)
        assert json.loads(json.dumps(card)) == card
