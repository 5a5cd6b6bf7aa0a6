"""Bugs by a second road: the search in plain loops, languages whose cost has a formula, the model run by hand."""

import math

import pytest
import torch

from walkthrough import models
from walkthrough.one_layer import bugs, made_up
from walkthrough.one_layer.bug_cost import jensen_shannon
from walkthrough.one_layer.skip_trigrams import strengths


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tiny():
    return models.tiny(1, seed=2)


@pytest.fixture(scope="module")
def text():
    """Rows of few tokens, so that much comes again, in which 3 is never followed by 4 within 5 tokens after 2."""
    rows = torch.randint(1, 7, (90, 41), generator=torch.Generator().manual_seed(1))
    rows[:, 0] = 0
    for row in rows:
        for pos in range(1, 40):
            if row[pos] == 3 and row[pos + 1] == 4 and 2 in row[max(0, pos - 5) : pos]:
                row[pos + 1] = 5
    return rows, torch.arange(90) // 3


def test_the_fourth_entry_is_that_of_an_outer_product():
    table = torch.outer(torch.tensor([0.3, 0.8]), torch.tensor([2.0, -1.5]))
    right, crossed, other_crossed, other_right = table.flatten().tolist()
    assert bugs.fourth_entry(right, other_right, crossed) == pytest.approx(other_crossed)


def test_jensen_shannon_is_the_mutual_information_of_a_coin_and_what_it_decides():
    p, q = noise(2, 7).double().softmax(-1)
    joint = torch.stack([p, q]) / 2
    by_chance = joint.sum(1, keepdim=True) * joint.sum(0)
    torch.testing.assert_close(jensen_shannon(p, q), (joint * (joint / by_chance).log()).sum())
    disjoint = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert jensen_shannon(*disjoint).item() == pytest.approx(math.log(2))


def test_the_worst_bug_by_sorting_all_triples():
    looks, moved = torch.rand(4, 5, generator=torch.Generator().manual_seed(3)), noise(4, 6)
    counts = torch.randint(0, 3, (4, 5, 6), generator=torch.Generator().manual_seed(4))
    counts[1, 2] = 0
    every = [(looks[a, b] * moved[a, c], a, b, c) for a in range(4) for b in range(5) for c in range(6)]
    allowed = [(x.item(), a, b, c) for x, a, b, c in every if counts[a, b, c] == 0 and counts[a, b].any()]
    assert bugs.worst_bug(looks, moved, counts) == max(allowed)[1:]


def test_follows_within_by_slices(text):
    rows, _ = text
    found = bugs.follows_within(rows, 2, within=5)
    for row in range(5):
        for pos in range(41):
            assert found[row, pos] == (2 in rows[row, max(0, pos - 5) : pos])


def slow_search(rows, file, counts, source, least, expected, within):
    """Every pair, place by place: how often it is expected, and seen."""
    found = {}
    for b in range(1, 7):
        for c in range(7):
            if counts[b, c] < least:
                continue
            places, hits, far, far_hits, near, has_b, has_pair = 0, 0, 0, 0, set(), set(), set()
            for row, f in zip(rows.tolist(), file.tolist()):
                for pos in range(len(row) - 1):
                    if row[pos] != b:
                        continue
                    has_b.add(f)
                    has_pair |= {f} if row[pos + 1] == c else set()
                    if source in row[max(0, pos - within) : pos]:
                        places, hits = places + 1, hits + (row[pos + 1] == c)
                        near.add(f)
                    else:
                        far, far_hits = far + 1, far_hits + (row[pos + 1] == c)
            rate = min(counts[b, c].item() / counts[b].sum().item(), far_hits / max(1, far))
            wanted = min(places * rate, len(near) * len(has_pair) / max(1, len(has_b)))
            if wanted >= expected:
                found[source, b, c] = wanted, hits
    return found


def test_what_should_come_together_and_does_not_by_loops(text):
    rows, file = text
    counts = torch.randint(0, 300, (7, 7), generator=torch.Generator().manual_seed(2))
    counts[3, 4] = 250
    slow = {}
    for source in (2, 5):
        slow |= slow_search(rows, file, counts, source, least=100, expected=5.0, within=5)
    found = bugs.candidates(rows, file, counts, torch.tensor([2, 5]), least=100, expected=5.0, within=5)
    triples = list(zip(*(part.tolist() for part in found[:3])))
    assert dict(zip(triples, found.expected.tolist())) == pytest.approx({name: one[0] for name, one in slow.items()})
    assert dict(zip(triples, found.seen.tolist())) == {name: one[1] for name, one in slow.items()}
    assert slow[2, 3, 4][1] == 0
    assert any(seen > 0 for _, seen in slow.values())
    hits, places = bugs.count_together(rows, found, within=5)
    assert torch.equal(hits, found.seen)
    assert (places >= 5).all()
    missing = found.pick(found.seen == 0)
    assert (2, 3, 4) in zip(*(part.tolist() for part in missing[:3]))
    assert not missing.seen.any()


def test_counts_of_triples_by_loops(text):
    rows, _ = text
    triples = bugs.Triples(*torch.tensor([[1, 2], [4, 3], [6, 4]]), torch.ones(2), torch.zeros(2).long())
    hits, places = bugs.count_together(rows, triples, within=4)
    for i, (a, b, c) in enumerate(((1, 4, 6), (2, 3, 4))):
        following = [
            row[pos + 1]
            for row in rows.tolist()
            for pos in range(40)
            if row[pos] == b and a in row[max(0, pos - 4) : pos]
        ]
        assert (hits[i], places[i]) == (following.count(c), len(following))


def slow_right(rows, counts, source, limits, pairs):
    """Which pairs of destination and out come often enough with the source near, place by place."""
    least, times, within = limits
    found = set()
    for b, c in pairs:
        near = [
            (r, p)
            for r in range(90)
            for p in range(40)
            if rows[r, p] == b and source in rows[r, max(0, p - within) : p]
        ]
        hits = sum(rows[r, p + 1].item() == c for r, p in near)
        if hits >= least and hits >= times * len(near) * counts[b, c].item() / counts[b].sum().item():
            found.add((b, c))
    return found


def test_crossings_by_loops(tiny, text):
    rows, _ = text
    counts = torch.randint(1, 40, (64, 64), generator=torch.Generator().manual_seed(5))
    parts = [list(x) for x in zip(*((a, b, c) for a in (2, 5) for b in (1, 3) for c in (3, 4, 6)))]
    triples = bugs.Triples(*torch.tensor(parts), torch.ones(12), torch.zeros(12).long())
    found = bugs.crossings(tiny, rows, counts, triples, least=60, times=3.0, adds=-0.02, within=5)
    heads = bugs.strength(tiny, triples).argmax(0)
    for row, head, a, b, c in zip(found.tolist(), heads.tolist(), *parts):
        f1, f2 = bugs.factors(tiny, head, a)
        homes = slow_right(rows, counts, a, (60, 3.0, 5), [(other, c) for other in range(1, 7) if other != b])
        own = slow_right(rows, counts, a, (60, 3.0, 5), [(b, other) for other in range(1, 7) if other != c])
        best = []
        for pairs, side in ((homes, 0), (own, 1)):
            allowed = [((f1[pair[0]] * f2[pair[1]]).item(), pair[side]) for pair in pairs]
            best.append(max((one for one in allowed if one[0] >= -0.02), default=(0, -1))[1])
        assert row == [head, *best]
    assert 0 < (found[:, 1] >= 0).sum() < 12
    assert (found[:, 2] >= 0).any()


def test_factors_are_what_strength_multiplies(tiny):
    triples = bugs.Triples(*torch.tensor([[5, 5], [7, 8], [20, 21]]), torch.ones(2), torch.zeros(2).long())
    for head in range(tiny.cfg.n_heads):
        f1, f2 = bugs.factors(tiny, head, 5)
        torch.testing.assert_close(bugs.strength(tiny, triples)[head], f1[triples.destination] * f2[triples.out])
        assert ((f1 > 0) & (f1 < 1)).all()


def test_as_frequent_takes_other_triples_with_outs_as_frequent_of_sources_of_their_own():
    counts = torch.zeros(12, 12, dtype=torch.long)
    counts[0] = torch.arange(12) ** 2
    parts = torch.tensor([[1, 2, 3, 4, 5], [6, 6, 6, 6, 6], [10, 3, 9, 4, 10]])
    triples = bugs.Triples(*parts, torch.ones(5), torch.zeros(5).long())
    group = triples.pick(torch.tensor([0, 1]))
    matched = bugs.as_frequent(triples, group, counts, torch.tensor([4, 3, 2, 1, 0]))
    assert matched.source.tolist() == [5, 4]  # the same out, and then the nearest; not the group's own
    assert matched.out.tolist() == [10, 4]
    again = bugs.as_frequent(triples, triples.pick(torch.tensor([0, 0])), counts, torch.tensor([4, 3, 2, 1]))
    assert again.source.tolist() == [5, 3]  # each source once


def test_strength_is_the_skip_trigram_score_of_each_head(tiny):
    triples = bugs.Triples(*torch.tensor([[5, 9, 11], [7, 8, 2], [20, 21, 3]]), torch.ones(3), torch.zeros(3).long())
    every = strengths(tiny, triples.source, triples.destination, triples.out[:, None])
    torch.testing.assert_close(bugs.strength(tiny, triples), every.diagonal(dim1=1, dim2=2))
    with pytest.raises(ValueError, match="no layers"):
        bugs.strength(models.tiny(0), triples)


def test_one_for_each_source_keeps_the_order():
    triples = bugs.Triples(
        torch.tensor([4, 4, 7, 9]), *torch.arange(8).view(2, 4), torch.ones(4), torch.zeros(4).long()
    )
    kept = bugs.one_for_each_source(triples, torch.tensor([3, 1, 0, 2]), 3)
    assert kept.source.tolist() == [9, 4, 7]
    assert kept.destination.tolist() == [3, 1, 2]
    assert len(bugs.one_for_each_source(triples, torch.tensor([0, 1, 2, 3]), 2).source) == 2


def test_in_text_reads_places_of_the_text_and_replaces_every_source(tiny, text):
    rows, _ = text
    log_probs, following = bugs.in_text(tiny, 2, 3, rows, torch.tensor([50]), n_contexts=1000, length=12, within=5)
    at = [(r, p) for r in range(90) for p in range(11, 40) if rows[r, p] == 3 and 2 in rows[r, p - 5 : p]]
    assert sorted(following.tolist()) == sorted(rows[r, p + 1].item() for r, p in at)
    assert 4 not in following
    runs = []
    for r, p in at:
        prompt = torch.cat([torch.zeros(1, dtype=torch.long), rows[r, p - 10 : p + 1]])
        swapped = torch.where(prompt == 2, 50, prompt)
        runs.append(torch.stack([tiny(prompt[None])[0, -1], tiny(swapped[None])[0, -1]]).log_softmax(-1))
    torch.testing.assert_close(log_probs.mean(1), torch.stack(runs).mean(0), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="no row has token 60 within 5 tokens before token 3"):
        bugs.in_text(tiny, 60, 3, rows, torch.tensor([50]), length=12, within=5)


def test_contexts_are_all_small_sets_with_bos():
    there = made_up.contexts(n_sources=4, most=2)
    sets = {tuple(row[1:].nonzero()[:, 0].tolist()) for row in there}
    assert there[:, 0].all()
    assert len(there) == len(sets) == 1 + 4 + 6
    assert max(map(len, sets)) == 2


def test_factored_logits_by_loops():
    there = made_up.contexts(3, 2)
    direct, scores, moved = noise(4, 5), noise(2, 4, 4, seed=1), noise(2, 4, 5, seed=2)
    logits = made_up.factored_logits(direct, scores, moved, there)
    for i, context in enumerate(there.tolist()):
        sources = [a for a, is_there in enumerate(context) if is_there]
        for b in range(4):
            expected = direct[b].clone()
            for head in range(2):
                weights = torch.stack([scores[head, b, a].exp() for a in sources])
                expected += sum(w / weights.sum() * moved[head, a] for w, a in zip(weights, sources))
            torch.testing.assert_close(logits[i, b], expected)


def test_skip_trigram_logits_by_loops():
    there, direct, table = made_up.contexts(3, 2), noise(4, 5), noise(3, 4, 5, seed=1)
    logits = made_up.skip_trigram_logits(direct, table, there)
    for i, context in enumerate(there.tolist()):
        expected = direct + sum(table[a] for a in range(3) if context[a + 1])
        torch.testing.assert_close(logits[i], expected)


def test_bigrams_lose_what_the_context_tells():
    """Mutual information of context and out, as H(out) - H(out | context), averaged over destinations."""
    log_probs = noise(2, 6, 3, 5).log_softmax(-1)
    entropy = lambda p: -(p * p.log()).sum(-1)
    probs = log_probs.exp()
    told = (entropy(probs.mean(1)) - entropy(probs).mean(1)).mean(-1)
    torch.testing.assert_close(made_up.cost_of_bigrams(log_probs), told)
    fitted, _ = made_up.fit_heads(log_probs, made_up.contexts(5, 1), n_heads=0)
    torch.testing.assert_close(fitted, told, atol=1e-4, rtol=0)


def test_keep_in_mind_keep_at_bay_costs_half_a_jensen_shannon_divergence():
    truth = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.95, 0.05], [0.05, 0.95]]])
    there = made_up.contexts(1, 1)
    first, second = truth[:, 1]
    middle = (first + second) / 2
    divergence = sum(p * (p / m).log() for x in (first, second) for p, m in zip(x, middle)) / 2
    assert made_up.fit_heads(truth.log()[None], there, 1)[0].item() == pytest.approx(divergence.item() / 2, abs=1e-3)
    assert made_up.fit_heads(truth.log()[None], there, 2)[0].item() < 1e-3


def test_one_head_can_say_whatever_one_head_says_and_the_cost_is_the_kl_of_what_it_says():
    there = made_up.contexts(3, 2)
    made = made_up.factored_logits(noise(2, 4, 5), noise(2, 1, 4, 4, seed=1), 2 * noise(2, 1, 4, 5, seed=2), there)
    language = made.log_softmax(-1)
    assert made_up.cost_of_bigrams(language).min() > 0.05
    assert made_up.fit_heads(language, there, 1)[0].max() < 2e-3
    free = noise(2, 7, 4, 5, seed=3).log_softmax(-1)
    cost, guess = made_up.fit_heads(free, there, 1, steps=50)
    torch.testing.assert_close(cost, (free.exp() * (free - guess)).sum(-1).mean((-1, -2)), atol=1e-5, rtol=1e-4)


def test_the_whole_table_loses_nothing_and_more_heads_lose_less():
    there = made_up.contexts(4, 2)
    direct, table = 1.5 * noise(3, 4, 5), 1.5 * noise(3, 4, 4, 5, seed=1)
    language = made_up.skip_trigram_logits(direct, table, there).log_softmax(-1)
    cost, guess = made_up.fit(
        lambda *free: made_up.skip_trigram_logits(*free, there), [0 * direct, 0 * table], language
    )
    assert cost.max() < 1e-3
    torch.testing.assert_close(guess.exp(), language.exp(), atol=0.01, rtol=0)
    costs = torch.stack([made_up.fit_heads(language, there, n, restarts=2)[0] for n in (1, 2, 4)])
    assert (costs.diff(dim=0) < 0).all()
    assert (costs[-1] < 0.05 * made_up.cost_of_bigrams(language)).all()
