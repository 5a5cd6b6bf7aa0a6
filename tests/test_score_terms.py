"""The terms of attention scores and their ranking, by a second road: the model's own pattern, loops, and cutting."""

import pytest
import torch

from walkthrough import models, paths

TOKENS = torch.tensor([[0, 5, 9, 5, 33, 12], [0, 1, 2, 3, 4, 60]])


@pytest.fixture(scope="module")
def model():
    return models.tiny(3, seed=3).double()


@pytest.fixture(scope="module")
def cache(model):
    return model.run_with_cache(TOKENS)[1]


def masked_softmax(scores):
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 0), (1, 3), (2, 2)])
def test_the_terms_add_up_to_the_scores_behind_the_models_pattern(model, cache, layer, head):
    terms = paths.attention_score_terms(model, TOKENS, layer, head)
    assert len(terms) == (2 + 4 * layer) ** 2
    total = sum(terms.values())
    torch.testing.assert_close(masked_softmax(total), cache["pattern", layer][:, head])
    placed = cache["resid_pre", layer] + model.W_pos[:6]
    whole = placed @ model.W_Q[layer, head] @ (placed @ model.W_K[layer, head]).mT / 8**0.5
    torch.testing.assert_close(total, whole)


def test_the_terms_of_the_trained_model(two_layer):
    tokens = two_layer.to_tokens("for name, value in items:\n    print(name, value)\n")
    cache = two_layer.run_with_cache(tokens)[1]
    for head in range(two_layer.cfg.n_heads):
        total = sum(paths.attention_score_terms(two_layer, tokens, 1, head).values())
        torch.testing.assert_close(masked_softmax(total), cache["pattern", 1][:, head], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("part", ["tokens", "positions", "0:0", "0:3"])
def test_each_term_is_the_part_it_should_be(model, cache, part):
    """Cut the part from what the query reads, and the scores lose its terms, and those only; then for the key."""
    A, x = cache["pattern", 0], cache["hook_embed"]
    moved = {f"0:{h}": torch.stack([a @ b for a, b in zip(A[:, h], x)]) @ model.OV[0, h].AB for h in range(4)}
    everything = {"tokens": x, "positions": model.W_pos[:6].expand_as(x)} | moved
    without = sum(other for name, other in everything.items() if name != part)
    placed = sum(everything.values())
    W_Q, W_K, _, _ = models.head_weights(model, 1, 2)
    terms = paths.attention_score_terms(model, TOKENS, 1, 2)
    of_query = sum(term for (query, _), term in terms.items() if query == part)
    of_key = sum(term for (_, key), term in terms.items() if key == part)
    assert of_query.norm() > 0.01
    assert of_key.norm() > 0.01
    score = lambda q, k: (q @ W_Q) @ (k @ W_K).mT / 8**0.5
    torch.testing.assert_close(of_query, score(placed, placed) - score(without, placed))
    torch.testing.assert_close(of_key, score(placed, placed) - score(placed, without))


@pytest.mark.parametrize(("first", "second"), [("0:1", "0:1"), ("0:0", "0:3")])
def test_a_term_of_two_heads_is_the_papers_tensor_product(model, cache, first, second):
    """A_q ⊗ A_k ⊗ W, entry by entry, with W the whole product of weights."""
    i, j = int(first[-1]), int(second[-1])
    term = paths.attention_score_terms(model, TOKENS, 1, 2)[first, second][0]
    W = model.W_E @ model.OV[0, i].AB @ model.QK[1, 2].AB @ model.OV[0, j].AB.T @ model.W_E.T / 8**0.5
    A_q, A_k = cache["pattern", 0][0, i], cache["pattern", 0][0, j]
    for query in range(6):
        for key in range(6):
            slow = sum(A_q[query, a] * A_k[key, b] * W[TOKENS[0, a], TOKENS[0, b]] for a in range(6) for b in range(6))
            torch.testing.assert_close(term[query, key], slow)


def test_heads_that_do_not_exist_are_refused(model):
    with pytest.raises(ValueError, match="there is no head 4"):
        paths.attention_score_terms(model, TOKENS, 1, 4)
    with pytest.raises(ValueError, match="has no layers"):
        paths.attention_score_terms(models.tiny(0), TOKENS, 0, 0)


def test_ranking_is_by_size_and_over_the_mean_of_the_row():
    terms = {
        "small": torch.tensor([[1.0, 1.0, 4.0]]),
        "down": torch.tensor([[9.0, 3.0, 0.0]]),
        "flat": torch.ones(1, 3),
    }
    assert paths.rank_terms(terms, (0, 2)) == [("down", -4.0), ("small", 2.0), ("flat", 0.0)]
    assert paths.rank_terms(terms, (0, 1), slice(0, 2)) == [("down", -3.0), ("small", 0.0), ("flat", 0.0)]
    assert paths.rank_terms(terms, (0, 2), [0]) == [("down", -9.0), ("small", 3.0), ("flat", 0.0)]


def test_ranked_logits_add_up_to_what_the_softmax_sees(model):
    ranked = paths.rank_terms(paths.path_expansion(model, TOKENS), (1, -1, 7))
    assert len(ranked) == 125
    sizes = [abs(value) for _, value in ranked]
    assert sizes == sorted(sizes, reverse=True)
    logits = model(TOKENS)[1, -1]
    assert sum(value for _, value in ranked) == pytest.approx((logits[7] - logits.mean()).item())


def test_ranked_terms_ignore_what_a_softmax_ignores(model):
    terms = paths.attention_score_terms(model, TOKENS, 1, 0)
    shifted = {name: term + torch.arange(6)[:, None] for name, term in terms.items()}
    before, after = (dict(paths.rank_terms(t, (0, 4, 2), slice(0, 5))) for t in (terms, shifted))
    assert before == pytest.approx(after)


def test_a_place_that_is_not_one_entry_is_refused(model):
    terms = paths.path_expansion(model, TOKENS)
    with pytest.raises(ValueError, match=r"\(0, 1\) is not one entry: the terms have 3 axes, so give 3 indices"):
        paths.rank_terms(terms, (0, 1))
