"""What tells the right key from others, against dense tables, loops and patterns that are known."""

import pytest
import torch

from walkthrough import behaviour, models, paths
from walkthrough.two_layers import composition, matching


@pytest.fixture(scope="module")
def tiny():
    network = models.PaperModel(models.config(2, d_model=32, n_heads=4, n_ctx=32, d_vocab=64), 0)
    with torch.no_grad():
        network.tok_embed.weight.mul_(10)
    return models.bridge(network, name="tiny")


def test_the_two_token_table_is_the_dense_one_and_its_term_is_in_the_run(tiny):
    """With both patterns known, A1 t W (A2 t)^T is the term of `attention_score_terms`."""
    table = matching.two_token_circuit(tiny, (0, 2), (0, 1), (1, 3)).AB
    queries = tiny.W_E @ tiny.W_V[0, 2] @ tiny.W_O[0, 2] @ tiny.W_Q[1, 3]
    keys = tiny.W_E @ tiny.W_V[0, 1] @ tiny.W_O[0, 1] @ tiny.W_K[1, 3]
    torch.testing.assert_close(table, queries @ keys.T / 8**0.5, rtol=1e-4, atol=1e-4)
    rows = behaviour.repeated_tokens(64, 9, 2, 3)
    pattern = tiny.run_with_cache(rows)[1]["pattern", 0]
    in_run = paths.attention_score_terms(tiny, rows, 1, 3)["0:2", "0:1"]
    by_table = pattern[:, 2] @ table[rows[:, :, None], rows[:, None]] @ pattern[:, 1].mT
    torch.testing.assert_close(in_run, by_table, rtol=1e-3, atol=1e-3)


def test_heads_that_are_not_in_earlier_layers_are_refused(tiny):
    for first, second in (((1, 0), (0, 0)), ((0, 0), (1, 1))):
        with pytest.raises(ValueError, match="must be in an earlier layer"):
            matching.two_token_circuit(tiny, first, second, (1, 3))


def test_advantages_of_terms_add_up_to_that_of_the_scores(tiny):
    rows = behaviour.repeated_tokens(64, 9, 2, 3)
    found = matching.term_advantages(tiny, rows, 9, (1, 2))
    scores = sum(paths.attention_score_terms(tiny, rows, 1, 2).values())
    torch.testing.assert_close(sum(found.values()), composition.advantage(scores, 9), rtol=1e-3, atol=1e-3)


def test_scores_of_single_prompts_average_to_that_of_all(tiny):
    rows = behaviour.repeated_tokens(64, 9, 3, 5)
    pattern = tiny.run_with_cache(rows)[1]["pattern", 1]
    each = matching.score_per_prompt(pattern, 9)
    assert each.shape == (5, 4)
    torch.testing.assert_close(each.mean(0), behaviour.prefix_matching_score(pattern, 9))
