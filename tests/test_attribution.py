"""Paths and their sources, by a second road: whole vocabularies path by path, loops over positions, and the model's run."""

import pytest
import torch

from walkthrough import attribution, models, paths

TOKENS = torch.tensor([[0, 5, 9, 5, 33, 12, 9, 5]])
TARGETS = [3, 60, 5]


def split(model, tokens, position, targets, first=0):
    """The explorer's road, [path target source], and the model's logits of the targets."""
    logits, cache = model.run_with_cache(tokens)
    patterns = torch.stack([cache["pattern", layer][0] for layer in range(first, model.cfg.n_layers)])
    weights = (W[first:] for W in (model.W_V, model.W_O))
    sources = attribution.path_sources(
        cache["resid_pre", first][0], patterns, *weights, model.W_U[:, targets], position
    )
    return sources, logits[0, position, targets]


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_each_path_is_that_of_the_expansion_and_all_are_the_logits(n_layers):
    model = models.tiny(n_layers, seed=n_layers).double()
    expansion = paths.path_expansion(model, TOKENS)
    assert attribution.path_names(n_layers, model.cfg.n_heads) == list(expansion)
    for position in (0, 4, 7):
        sources, logits = split(model, TOKENS, position, TARGETS)
        slow = torch.stack([term[0, position, TARGETS] for term in expansion.values()])
        torch.testing.assert_close(sources.sum(-1), slow)
        torch.testing.assert_close(sources.sum((0, 2)), logits)
        assert (sources[..., position + 1 :] == 0).all()


def test_sources_of_a_head_and_of_a_virtual_head_by_loops():
    model, position = models.tiny(2, seed=5).double(), 6
    sources, _ = split(model, TOKENS, position, TARGETS)
    names = attribution.path_names(2, 4)
    x, cache = model.W_E[TOKENS[0]], model.run_with_cache(TOKENS)[1]
    (_, _, V1, O1), (_, _, V2, O2) = models.head_weights(model, 0, 3), models.head_weights(model, 1, 2)
    A1, A2 = cache["pattern", 0][0, 3], cache["pattern", 1][0, 2]
    both = paths.virtual_pattern(A1, A2)
    for number, target in enumerate(TARGETS):
        W_U = model.W_U[:, target]
        for s in range(len(x)):
            for name, expected in {
                "direct": x[s] @ W_U * (s == position),
                "0:3": A1[position, s] * (x[s] @ V1 @ O1 @ W_U),
                "1:2": A2[position, s] * (x[s] @ V2 @ O2 @ W_U),
                "0:3 → 1:2": both[position, s] * (x[s] @ V1 @ O1 @ V2 @ O2 @ W_U),
            }.items():
                torch.testing.assert_close(sources[names.index(name), number, s], expected)


def test_from_a_later_layer_on_the_stream_is_split_by_what_it_holds_where():
    model = models.tiny(3, seed=8).double()
    sources, logits = split(model, TOKENS, 7, TARGETS, first=1)
    torch.testing.assert_close(sources.sum((0, 2)), logits)
    names, cache = attribution.path_names(3, 4, first=1), model.run_with_cache(TOKENS)[1]
    assert names[:2] == ["direct", "1:0"]
    assert len(names) == 25
    stream = cache["resid_pre", 1][0]
    torch.testing.assert_close(sources[0, :, 7], stream[7] @ model.W_U[:, TARGETS])
    _, _, W_V, W_O = models.head_weights(model, 2, 1)
    direct_of_2 = cache["pattern", 2][0, 1, 7, :, None] * (stream @ W_V @ W_O @ model.W_U[:, TARGETS])
    torch.testing.assert_close(sources[names.index("2:1")], direct_of_2.T)


def test_trained_models_in_float32(one_layer, two_layer):
    """Sums of some hundred thousand float32 numbers: the logits, up to 20 in size, come out to 1e-4."""
    for model in (one_layer, two_layer):
        ids = model.to_tokens("for name, value in items:\n    print(name, value)\n" * 10)
        position, top = ids.shape[1] - 1, model(ids)[0, -1].topk(6).indices
        sources, logits = split(model, ids, position, top)
        torch.testing.assert_close(sources.sum((0, 2)), logits, rtol=0, atol=1e-4)
        slow = torch.stack([term[0, -1, top] for term in paths.path_expansion(model, ids).values()])
        torch.testing.assert_close(sources.sum(-1), slow, rtol=0, atol=1e-4)


@pytest.mark.parametrize("position", [-1, 8])
def test_a_position_outside_the_prompt_is_refused(position):
    with pytest.raises(ValueError, match="positions 0 to 7"):
        split(models.tiny(1), TOKENS, position, TARGETS)


def test_how_far_down_a_model_is_expanded():
    assert [attribution.first_layer(n_layers, 8) for n_layers in (0, 1, 2, 3, 4, 5)] == [0, 0, 0, 0, 1, 2]
    assert attribution.first_layer(2, 8, limit=81) == 0
    assert attribution.first_layer(2, 8, limit=80) == 1
