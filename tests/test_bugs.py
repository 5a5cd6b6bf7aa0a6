"""Bugs by a second road: the search in plain loops, languages whose cost has a formula, the model run by hand."""

import itertools

import pytest
import torch

from walkthrough import models
from walkthrough.one_layer import bugs
from walkthrough.one_layer.bugs import Bug
from walkthrough.one_layer.skip_trigrams import with_and_without


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tiny():
    return models.tiny(1, seed=2)


@pytest.fixture(scope="module")
def counts():
    generator = torch.Generator().manual_seed(0)
    table = torch.randint(1, 60, (64, 64), generator=generator)
    return table * (torch.rand(64, 64, generator=generator) > 0.4)


def slow_search(model, counts, often, seen, expected, k):
    """Every head, source, pair of destinations and pair of outs."""
    ids = [t for t in range(1, 64) if counts[t].sum() >= often]
    column, total = counts.sum(0), counts.sum()
    known = lambda b, c: counts[b, c] >= seen
    never = lambda b, c: counts[b, c] == 0 and counts[b].sum() * column[c] / total >= expected
    found = {}
    for head in range(model.cfg.n_heads):
        W_Q, W_K, W_V, W_O = model.W_Q[0, head], model.W_K[0, head], model.W_V[0, head], model.W_O[0, head]
        scores = (model.W_E @ W_Q) @ (model.W_E @ W_K).T / model.cfg.d_head**0.5
        moved = model.W_E @ W_V @ W_O @ model.W_U
        moved = moved - moved.mean(1, keepdim=True)
        for a in ids:
            outs = sorted(ids, key=lambda c: -moved[a, c])[:k]
            for (b, b2), (c, c2) in itertools.product(itertools.permutations(ids, 2), itertools.combinations(outs, 2)):
                if known(b, c) and known(b2, c2) and never(b, c2) and never(b2, c):
                    share = [torch.sigmoid(scores[x, a] - scores[x, 0]).item() for x in (b, b2)]
                    forced = min(share[0] * moved[a, c2].item(), share[1] * moved[a, c].item())
                    if forced > 0:
                        found.setdefault((head, a), []).append((forced, {(b, c), (b2, c2)}))
    return found


def test_the_search_finds_what_loops_find(tiny, counts):
    some = counts.clone()
    some[14:] = 0  # fewer tokens come first often: the loops are slow
    arguments = {"often": 100, "seen": 5, "expected": 1.0, "k": 4}
    slow, found = slow_search(tiny, some, **arguments), bugs.search(tiny, some, **arguments)
    assert len(slow) > 5
    assert {(bug.head, bug.source) for bug in found} == slow.keys()
    for bug in found:
        best = max(forced for forced, _ in slow[bug.head, bug.source])
        as_strong = [pairs for forced, pairs in slow[bug.head, bug.source] if forced > best - 1e-6]
        assert bug.forced == pytest.approx(best, abs=1e-6)
        assert set(bug.pairs(crossed=False)) in as_strong
    assert [bug.forced for bug in found] == sorted((bug.forced for bug in found), reverse=True)


def test_right_pairs_were_counted_and_crossed_pairs_never(tiny, counts):
    found = bugs.search(tiny, counts, often=100, seen=20, expected=1.0)
    assert found
    for bug in found:
        assert all(counts[pair] >= 20 for pair in bug.pairs(crossed=False))
        assert all(counts[pair] == 0 for pair in bug.pairs(crossed=True))


def test_the_shipped_model_has_stronger_bugs_than_an_untrained_one(one_layer):
    from walkthrough import corpus

    shipped = corpus.load_bigrams()
    untrained = models.bridge(models.PaperModel(models.config(1), 0))
    assert bugs.search(one_layer, shipped)[0].forced > 20 * bugs.search(untrained, shipped)[0].forced


def test_a_model_without_layers_has_no_bugs(counts):
    with pytest.raises(ValueError, match="no layers"):
        bugs.search(models.tiny(0), counts)


def test_pairs_of_a_bug():
    bug = Bug(0, 9, (1, 2), (3, 4), 1.0)
    assert (bug.pairs(crossed=False), bug.pairs(crossed=True)) == ([(1, 3), (2, 4)], [(1, 4), (2, 3)])


def test_in_contexts_puts_each_pair_in_its_place(tiny):
    windows = torch.randint(10, 64, (40, 32), generator=torch.Generator().manual_seed(0))
    pool, found = torch.arange(50, 60), [Bug(0, 5, (7, 8), (20, 21), 1.0), Bug(0, 6, (9, 8), (22, 23), 1.0)]
    log_probs = bugs.in_contexts(tiny, found, windows, pool, n_contexts=8)
    for i, bug in enumerate(found):
        for crossed in (False, True):
            for j, (destination, out) in enumerate(bug.pairs(crossed)):
                after = with_and_without(tiny, bug.source, destination, windows, pool, 8)
                torch.testing.assert_close(log_probs[int(crossed), :, i, j], after[:, :, out])


def test_contexts_are_all_small_sets_with_bos():
    there = bugs.contexts(n_sources=4, most=2)
    sets = {tuple(row[1:].nonzero()[:, 0].tolist()) for row in there}
    assert there[:, 0].all()
    assert len(there) == len(sets) == 1 + 4 + 6
    assert max(map(len, sets)) == 2


def test_factored_logits_by_loops():
    there = bugs.contexts(3, 2)
    direct, scores, moved = noise(4, 5), noise(2, 4, 4, seed=1), noise(2, 4, 5, seed=2)
    logits = bugs.factored_logits(direct, scores, moved, there)
    for i, context in enumerate(there.tolist()):
        sources = [a for a, is_there in enumerate(context) if is_there]
        for b in range(4):
            expected = direct[b].clone()
            for head in range(2):
                weights = torch.stack([scores[head, b, a].exp() for a in sources])
                expected += sum(w / weights.sum() * moved[head, a] for w, a in zip(weights, sources))
            torch.testing.assert_close(logits[i, b], expected)


def test_skip_trigram_logits_by_loops():
    there, direct, table = bugs.contexts(3, 2), noise(4, 5), noise(3, 4, 5, seed=1)
    logits = bugs.skip_trigram_logits(direct, table, there)
    for i, context in enumerate(there.tolist()):
        expected = direct + sum(table[a] for a in range(3) if context[a + 1])
        torch.testing.assert_close(logits[i], expected)


def test_bigrams_lose_what_the_context_tells():
    """Mutual information of context and out, as H(out) - H(out | context), averaged over destinations."""
    log_probs = noise(2, 6, 3, 5).log_softmax(-1)
    entropy = lambda p: -(p * p.log()).sum(-1)
    probs = log_probs.exp()
    told = (entropy(probs.mean(1)) - entropy(probs).mean(1)).mean(-1)
    torch.testing.assert_close(bugs.cost_of_bigrams(log_probs), told)
    fitted, _ = bugs.fit_heads(log_probs, bugs.contexts(5, 1), n_heads=0)
    torch.testing.assert_close(fitted, told, atol=1e-4, rtol=0)


def test_keep_in_mind_keep_at_bay_costs_half_a_jensen_shannon_divergence():
    truth = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.95, 0.05], [0.05, 0.95]]])
    there = bugs.contexts(1, 1)
    first, second = truth[:, 1]
    middle = (first + second) / 2
    divergence = sum(p * (p / m).log() for x in (first, second) for p, m in zip(x, middle)) / 2
    assert bugs.fit_heads(truth.log()[None], there, 1)[0].item() == pytest.approx(divergence.item() / 2, abs=1e-3)
    assert bugs.fit_heads(truth.log()[None], there, 2)[0].item() < 1e-3


def test_one_head_can_say_whatever_one_head_says_and_the_cost_is_the_kl_of_what_it_says():
    there = bugs.contexts(3, 2)
    made = bugs.factored_logits(noise(2, 4, 5), noise(2, 1, 4, 4, seed=1), 2 * noise(2, 1, 4, 5, seed=2), there)
    language = made.log_softmax(-1)
    assert bugs.cost_of_bigrams(language).min() > 0.05
    assert bugs.fit_heads(language, there, 1)[0].max() < 2e-3
    free = noise(2, 7, 4, 5, seed=3).log_softmax(-1)
    cost, guess = bugs.fit_heads(free, there, 1, steps=50)
    torch.testing.assert_close(cost, (free.exp() * (free - guess)).sum(-1).mean((-1, -2)), atol=1e-5, rtol=1e-4)


def test_the_whole_table_loses_nothing_and_more_heads_lose_less():
    there = bugs.contexts(4, 2)
    direct, table = 1.5 * noise(3, 4, 5), 1.5 * noise(3, 4, 4, 5, seed=1)
    language = bugs.skip_trigram_logits(direct, table, there).log_softmax(-1)
    cost, guess = bugs.fit(lambda *free: bugs.skip_trigram_logits(*free, there), [0 * direct, 0 * table], language)
    assert cost.max() < 1e-3
    torch.testing.assert_close(guess.exp(), language.exp(), atol=0.01, rtol=0)
    costs = torch.stack([bugs.fit_heads(language, there, n, restarts=2)[0] for n in (1, 2, 4)])
    assert (costs.diff(dim=0) < 0).all()
    assert (costs[-1] < 0.05 * bugs.cost_of_bigrams(language)).all()
