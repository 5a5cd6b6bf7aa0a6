"""Interventions against the same thing done to the weights, or worked out layer by layer; all on random models."""

import pytest
import torch

from walkthrough import behaviour, interventions, models, paths
from walkthrough.two_layers import handmade


def loud(n_layers, seed=0):
    """A random model whose heads matter."""
    network = models.PaperModel(models.config(n_layers, d_model=32, n_heads=4, n_ctx=32, d_vocab=64), seed)
    with torch.no_grad():
        network.tok_embed.weight.mul_(10)
    return models.bridge(network, name="loud")


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(1, 64, (3, 12), generator=torch.Generator().manual_seed(0))


def patterns(model, tokens, hooks=()):
    with model.hooks(fwd_hooks=list(hooks)):
        cache = model.run_with_cache(tokens)[1]
    return [cache["pattern", layer] for layer in range(model.cfg.n_layers)]


def without_weights(n_layers, heads, letter="o", seed=0):
    """The same model with the listed heads' W_O set to zero."""
    model = loud(n_layers, seed)
    for layer, head in heads:
        model.original_model.layers[layer].attn.o.weight.view(32, 4, 8)[:, head] = 0
    return model


def test_a_deleted_head_is_one_whose_weights_are_zero(tokens):
    heads = [(0, 1), (0, 3), (1, 2)]
    hooked = loud(2).run_with_hooks(tokens, fwd_hooks=interventions.ablate(loud(2), heads))
    torch.testing.assert_close(hooked, without_weights(2, heads)(tokens))
    assert not torch.allclose(hooked, loud(2)(tokens), atol=0.1)


def test_with_patterns_frozen_a_deleted_head_loses_exactly_its_paths(tokens):
    model = loud(2)
    frozen = paths.freeze(patterns(model, tokens))
    hooked = model.run_with_hooks(tokens, fwd_hooks=frozen + interventions.ablate(model, [(0, 1)]))
    kept = [path for name, path in paths.path_expansion(model, tokens).items() if "0:1" not in name.split(" → ")]
    torch.testing.assert_close(hooked, sum(kept), rtol=1e-4, atol=1e-4)
    unfrozen = model.run_with_hooks(tokens, fwd_hooks=interventions.ablate(model, [(0, 1)]))
    assert not torch.allclose(hooked, unfrozen, atol=1e-2)


def test_a_swapped_head_has_its_output_on_the_other_tokens(tokens):
    model, others = loud(2), tokens.flip(0)
    name = "blocks.0.attn.hook_z"
    z, other = (model.run_with_cache(rows)[1][name] for rows in (tokens, others))
    with model.hooks(fwd_hooks=interventions.swap(model, [(0, 2)], others)):
        swapped = model.run_with_cache(tokens)[1][name]
    for head in range(4):
        torch.testing.assert_close(swapped[:, :, head], (other if head == 2 else z)[:, :, head])
    same = model.run_with_hooks(tokens, fwd_hooks=interventions.swap(model, [(0, 2), (1, 0)], tokens))
    torch.testing.assert_close(same, model(tokens))


@pytest.mark.parametrize("which", ["q", "k", "v"])
def test_one_input_of_the_next_layer_is_that_of_a_model_without_the_head(tokens, which):
    model, head = loud(3), (0, 1)
    with model.hooks(fwd_hooks=interventions.unread(model, tokens, head, which)):
        cache = model.run_with_cache(tokens)[1]
    plain, without = model.run_with_cache(tokens)[1], without_weights(3, [head]).run_with_cache(tokens)[1]
    for letter in "qkv":
        expected = without if letter == which else plain
        torch.testing.assert_close(cache[letter, 1], expected[letter, 1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain[which, 1], without[which, 1], atol=0.1)
    torch.testing.assert_close(cache["attn_out", 0], plain["attn_out", 0])


def test_all_three_inputs_and_the_direct_path_are_all_that_a_head_does(tokens):
    model, head = loud(3), (1, 3)
    hooks = [hook for which in "qkv" for hook in interventions.unread(model, tokens, head, which)]
    z = model.run_with_cache(tokens)[1]["z", 1][:, :, 3]
    direct = z @ model.W_O[1, 3] @ model.W_U
    left = model.run_with_hooks(tokens, fwd_hooks=hooks) - direct
    torch.testing.assert_close(left, without_weights(3, [head])(tokens), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("by", [0, 1, 3])
def test_a_head_looks_back_as_far_as_it_is_told(tokens, by):
    model = loud(2)
    plain, forced = patterns(model, tokens), patterns(model, tokens, interventions.look_back(model, (0, 2), by))
    for query in range(12):
        assert forced[0][:, 2, query].argmax(-1).tolist() == [max(query - by, 0)] * 3
    assert set(forced[0][:, 2].unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(forced[0][:, [0, 1, 3]], plain[0][:, [0, 1, 3]])


def test_a_run_after_an_intervention_is_as_before(tokens):
    model = loud(2)
    before = model(tokens)
    model.run_with_hooks(tokens, fwd_hooks=interventions.ablate(model, [(0, 0)]))
    assert torch.equal(model(tokens), before)


BAD = {
    "no head 7": lambda m, t: interventions.ablate(m, [(0, 7)]),
    "no layer 2": lambda m, t: interventions.swap(m, [(2, 0)], t),
    "no layer 5": lambda m, t: interventions.unread(m, t, (5, 0), "k"),
    "'x' is not an input": lambda m, t: interventions.unread(m, t, (0, 0), "x"),
    "in the last layer": lambda m, t: interventions.unread(m, t, (1, 0), "k"),
    "no head 4": lambda m, t: interventions.look_back(m, (0, 4), 1),
    "lies ahead": lambda m, t: interventions.look_back(m, (0, 0), -1),
    "the other prompts are": lambda m, t: m.run_with_hooks(t, fwd_hooks=interventions.swap(m, [(0, 0)], t[:, :5])),
    "taken out of prompts": lambda m, t: m.run_with_hooks(t[:, :5], fwd_hooks=interventions.unread(m, t, (0, 0), "q")),
}


@pytest.mark.parametrize("sentence", BAD)
def test_what_cannot_be_done_is_refused_in_one_sentence(sentence, tokens):
    with pytest.raises(ValueError, match=sentence):
        BAD[sentence](loud(2), tokens)


def test_on_the_trained_model_only_the_keys_carry_the_previous_token(two_layer):
    rows = behaviour.repeated_tokens(two_layer.cfg.d_vocab, 20, 3, 8)
    cache = two_layer.run_with_cache(rows)[1]
    head = (0, behaviour.previous_token_score(cache["pattern", 0]).argmax().item())
    cost = {
        which: behaviour.copy_loss(two_layer, rows, 20, interventions.unread(two_layer, rows[:, :-1], head, which))
        for which in "qkv"
    }
    change = {which: (loss - behaviour.copy_loss(two_layer, rows, 20)).mean() for which, loss in cost.items()}
    assert change["k"] > 1.5 * change["q"] > 0
    assert change["k"] > 5 * change["v"].abs()


@pytest.mark.parametrize("which", ["q", "k", "v"])
def test_feeding_the_run_s_own_stream_changes_nothing_and_another_one_is_read(tokens, which):
    model = loud(2)
    cache = model.run_with_cache(tokens)[1]
    outputs = paths.layer_parts(cache["z", 0], model.W_O[0])
    stream = cache["hook_embed"] + outputs.sum(0)
    with model.hooks(fwd_hooks=interventions.feed(model, which, stream)):
        logits = model(tokens)
    torch.testing.assert_close(logits, model(tokens), rtol=1e-4, atol=1e-4)
    with model.hooks(fwd_hooks=interventions.feed(model, which, stream - outputs[1])):
        fed = model.run_with_cache(tokens)[1]
    with model.hooks(fwd_hooks=interventions.unread(model, tokens, (0, 1), which)):
        unread = model.run_with_cache(tokens)[1]
    torch.testing.assert_close(fed[which, 1], unread[which, 1], rtol=1e-4, atol=1e-4)


def test_feeding_refuses_what_does_not_fit(tokens):
    model = loud(2)
    stream = model.W_E[tokens]
    with pytest.raises(ValueError, match="'o' is not an input of a head"):
        interventions.feed(model, "o", stream)
    with pytest.raises(ValueError, match="there is no layer 2"):
        interventions.feed(model, "q", stream, layer=2)
    with pytest.raises(ValueError, match="the stream is of prompts"):
        model.run_with_hooks(tokens[:, :-1], fwd_hooks=interventions.feed(model, "q", stream))


def test_positions_in_the_stream_are_read_by_values_too():
    """Against the same run with a vocabulary of (token, position) pairs and no positions at all."""
    W_E, W_pos, W_U = handmade.bench(6, 6)
    draw = torch.Generator().manual_seed(0)
    heads = [
        tuple(torch.randn(*shape, generator=draw) for shape in ((24, 5), (24, 5), (24, 5), (5, 24))) for _ in range(2)
    ]
    rows = torch.randint(0, 6, (3, 6), generator=draw)
    pairs = (W_E[:, None] + W_pos).flatten(0, 1)  # a row for each token at each position
    nowhere = torch.zeros_like(W_pos)
    whole = handmade.run_heads(6 * rows + torch.arange(6), pairs, nowhere, W_U.repeat(1, 6), heads)
    whole = whole[0][..., :6], whole[1]
    for mine, right in zip(handmade.run_heads(rows, W_E, W_pos, W_U, heads, in_stream=True), whole):
        torch.testing.assert_close(mine, right)


def test_pointer_heads_do_induction_only_where_positions_are_in_the_stream():
    bench = handmade.bench(40, 31)
    heads = handmade.pointer_heads(*bench)
    once = torch.stack([1 + torch.randperm(39, generator=torch.Generator().manual_seed(i))[:15] for i in range(4)])
    rows = torch.cat([torch.zeros(4, 1, dtype=torch.long), once, once], dim=1)
    logits, patterns = handmade.run_heads(rows, *bench, heads, in_stream=True)
    assert torch.equal(logits[:, 16:-1].argmax(-1), rows[:, 17:])
    query = torch.arange(16, 31)
    assert patterns[:, 0, query, query - 15].min() > 0.99
    assert patterns[:, 1, query, query - 14].min() > 0.99
    logits, _ = handmade.run_heads(rows, *bench, heads)
    assert (logits[:, 16:-1].argmax(-1) == rows[:, 17:]).float().mean() < 0.2


def test_hand_written_heads_run_as_in_the_real_architecture():
    """Random heads in a PaperModel of one head a layer, against the bench's own loop."""
    network = models.PaperModel(models.config(2, d_model=32, n_heads=1, n_ctx=16, d_vocab=20), 0)
    model = models.bridge(network, name="one head")
    rows = torch.randint(1, 20, (2, 9), generator=torch.Generator().manual_seed(0))
    heads = [models.head_weights(model, layer, 0) for layer in range(2)]
    logits, found = handmade.run_heads(rows, model.W_E, model.W_pos, model.W_U, heads)
    torch.testing.assert_close(logits, model(rows))
    torch.testing.assert_close(found, torch.cat(patterns(model, rows), 1))


def test_the_bench_keeps_its_blocks_apart():
    W_E, W_pos, W_U = handmade.bench(5, 7)
    assert W_E.shape == (5, 22)
    torch.testing.assert_close(W_E @ W_E.T, torch.eye(5))
    torch.testing.assert_close(W_pos @ W_pos.T, torch.eye(7))
    assert not (W_E @ W_pos.T).any()
    assert not (W_E @ W_U).any()
    assert not (W_pos @ W_U).any()
    assert ((W_E.sum(0) + W_pos.sum(0) + W_U.sum(1)) == 0).sum() == 5  # the free axes
    with pytest.raises(ValueError, match="at least one of each"):
        handmade.bench(0, 4)
    with pytest.raises(ValueError, match="head of layer 0"):
        handmade.run_heads(torch.zeros(1, 3).long(), W_E, W_pos, W_U, [tuple(torch.eye(4) for _ in range(4))])
