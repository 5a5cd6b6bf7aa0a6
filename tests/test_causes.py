"""What is measured of causes, by a second road: against whole models, and against loops."""

import pytest
import torch

from walkthrough import behaviour, interventions, models, paths
from walkthrough.two_layers import causes


@pytest.fixture(scope="module")
def model():
    return models.tiny(2, seed=3)


@pytest.fixture(scope="module")
def tokens():
    return behaviour.repeated_tokens(64, 10, 2, 3, seed=2)


def test_the_stream_without_a_head_is_that_of_a_run_with_frozen_patterns(model, tokens):
    cache = model.run_with_cache(tokens)[1]
    patterns = [cache["pattern", layer] for layer in range(2)]
    silent = [(0, 1), (1, 2)]
    with model.hooks(fwd_hooks=paths.freeze(patterns) + interventions.ablate(model, silent)):
        logits = model(tokens)
    stream = causes.stream_without(cache["hook_embed"], torch.stack(patterns), model.W_V, model.W_O, silent)
    torch.testing.assert_close(stream @ model.W_U, logits)
    whole = causes.stream_without(cache["hook_embed"], torch.stack(patterns), model.W_V, model.W_O, [])
    torch.testing.assert_close(whole @ model.W_U, model(tokens))


def test_the_terms_of_a_score_add_up_to_the_scores_of_a_run(model, tokens):
    """The pattern made of them is the model's; and they are those of `attention_score_terms`, added up."""
    cache = model.run_with_cache(tokens)[1]
    here = model.W_pos[: tokens.shape[1]]
    parts = causes.read_parts(
        model.W_E[tokens], torch.zeros_like(here), here, cache["pattern", 0], model.W_V[0], model.W_O[0]
    )
    slow = paths.attention_score_terms(model, tokens, 1, 2)
    terms = causes.score_parts(parts, model.W_Q[1, 2], model.W_K[1, 2])
    total = terms.sum((0, 1))
    torch.testing.assert_close(causes.attention_without(total, 0 * total), cache["pattern", 1][:, 2])
    torch.testing.assert_close(terms[0, 2], slow["tokens", "positions"])
    torch.testing.assert_close(terms[0, 1], sum(slow["tokens", f"0:{head}"] for head in range(4)))
    torch.testing.assert_close(terms[3], torch.zeros_like(terms[3]))


def test_positions_in_the_stream_are_moved_by_heads(model, tokens):
    pattern = model.run_with_cache(tokens)[1]["pattern", 0]
    here = model.W_pos[: tokens.shape[1]]
    parts = causes.read_parts(
        model.W_E[tokens], here, torch.zeros_like(here), pattern, model.W_V[0], model.W_O[0]
    )
    stream = model.W_E[tokens] + here
    layer = [paths.layer_output(p, x, model.W_V[0], model.W_O[0]) for p, x in zip(pattern, stream)]
    torch.testing.assert_close(parts.sum(0), stream + torch.stack(layer))


def test_at_the_follower_s_own_distance_both_columns_are_the_prefix_matching_score(model, tokens):
    pattern = model.run_with_cache(tokens)[1]["pattern", 1]
    both = causes.follower_and_fixed(pattern, 10, 9)
    torch.testing.assert_close(both[:, 0], behaviour.prefix_matching_score(pattern, 10))
    torch.testing.assert_close(both[:, 0], both[:, 1])


def test_smeared_keys_keep_what_they_keep():
    keys = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(causes.smear(keys, torch.full((3,), 30.0)), keys)
    torch.testing.assert_close(causes.smear(keys, torch.full((3,), -30.0))[:, :, 1:], keys[:, :, :-1])
