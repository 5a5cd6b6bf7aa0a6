"""Blind search, small edits, faithfulness, attacks and planted truth, each by a second road."""

import matplotlib.pyplot as plt
import pytest
import torch

from walkthrough import corpus, interventions, models
from walkthrough.beyond import (
    attack_runs,
    bench,
    biases,
    blind_search,
    crossed_pairs,
    defences,
    editing,
    faithful,
    fine_tuning,
    known_language,
    known_truth,
    misquotes,
    removals,
    suspicions,
    weaknesses,
)
from walkthrough.figures import editing as figures
from walkthrough.models import config


@pytest.fixture(scope="module")
def small():
    return models.bridge(models.PaperModel(config(2, d_model=32, n_heads=4, n_ctx=64, d_vocab=50), 3), None, "small")


@pytest.fixture(scope="module")
def share(small):
    weights = torch.rand(small.cfg.d_vocab, generator=torch.Generator().manual_seed(1))
    weights[0] = 0
    return weights


@pytest.fixture(scope="module")
def windows():
    rows = torch.randint(1, 50, (300, 65), generator=torch.Generator().manual_seed(2))
    rows[:, 0] = 0
    return rows


@pytest.fixture(scope="module")
def often():
    counts = corpus.load_bigrams().sum(1).float()
    counts[0] = 0
    return counts


def among_average_tokens(model, share, *placed):
    """A run whose embeddings are the average one, but for `<BOS>` and the (place, token)s given."""
    embed = (share / share.sum() @ model.W_E).expand(1, blind_search.QUERY + 1, -1).clone()
    embed[0, 0] = model.W_E[0]
    for place, token in placed:
        embed[0, place] = model.W_E[token]
    with model.hooks(fwd_hooks=[("hook_embed", lambda resid, hook: embed)]):
        return model.run_with_cache(torch.zeros(1, embed.shape[1], dtype=torch.long))


def test_a_token_among_average_tokens_is_what_a_run_makes_of_it(small, share):
    found = blind_search.stands(small, share)
    _, cache = among_average_tokens(small, share, (blind_search.QUERY, 7))
    torch.testing.assert_close(found[1].tokens[7], cache["blocks.0.hook_resid_post"][0, -1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1].tokens[0], cache["blocks.0.hook_resid_post"][0, 0], atol=1e-5, rtol=1e-4)


def test_attention_to_a_source_is_that_of_the_run_with_it(small, share):
    looks = blind_search.looks_at(
        small, 0, blind_search.stands(small, share)[0], torch.tensor([7, 8]), torch.tensor([4])
    )
    for i, destination in enumerate((7, 8)):
        _, cache = among_average_tokens(small, share, (blind_search.KEY, 4), (blind_search.QUERY, destination))
        expected = cache["pattern", 0][0, :, -1, blind_search.KEY]
        torch.testing.assert_close(looks[:, i, 0], expected, atol=1e-5, rtol=1e-4)


def test_the_score_of_each_pair_is_that_of_a_loop(small, share):
    allowed = torch.arange(50) % 3 > 0
    sources, destinations = torch.tensor([3, 9, 11, 30]), torch.tensor([5, 6])
    found = blind_search.skip_trigram_search(small, share, destinations, sources, allowed, keep=99, least=0.0)
    every, rows = blind_search.stands(small, share), []
    for d in destinations.tolist():
        p = (every[2].tokens[d] @ small.W_U).softmax(-1)
        for s in sources.tolist():
            logits, best = torch.zeros(50), {}
            for layer in range(2):
                a = blind_search.looks_at(small, layer, every[layer], torch.tensor([d]), torch.tensor([s]))[:, 0, 0]
                for head in range(4):
                    x = every[layer].tokens[s] - every[layer].average
                    part = a[head] * (x @ small.W_V[layer, head] @ small.W_O[layer, head] @ small.W_U)
                    best[layer, head] = part - part.mean()
                    logits = logits + part
            q = (p.log() + logits).softmax(-1)
            share_of_kl = (q * (q / p).log()).masked_fill(~allowed, -torch.inf)
            out = share_of_kl.argmax().item()
            strongest = max(best, key=lambda head: best[head][out])
            rows.append((share_of_kl[out].item(), s, d, out, strongest))
    rows.sort(reverse=True)
    assert [row[1:4] for row in rows] == list(zip(*(part.tolist() for part in found[:3])))
    assert found.score.tolist() == pytest.approx([row[0] for row in rows], rel=1e-3, abs=1e-7)
    assert [row[4] for row in rows] == list(zip(found.layer.tolist(), found.head.tolist()))


def test_pairs_that_no_head_looks_at_are_left_out(small, share):
    tokens = torch.arange(1, 50)
    attention = torch.cat(
        [
            blind_search.looks_at(small, at, stand, tokens, tokens)
            for at, stand in enumerate(blind_search.stands(small, share)[:2])
        ]
    )
    for least in (0.0, attention.amax(0).median().item(), 1.1):
        found = blind_search.skip_trigram_search(small, share, tokens, tokens, keep=49**2, least=least)
        assert len(found.score) == (attention.amax(0) >= least).sum()


def test_misquotes_are_in_order_and_never_of_the_token_itself(small, share):
    found = blind_search.misquote_search(small, share, [(1, 0), (1, 2)], torch.arange(1, 50))
    assert (found.margin.diff() <= 0).all()
    assert (found.token != found.instead).all()
    x = blind_search.stands(small, share)[1].tokens[found.token[0]]
    logits = sum(x @ small.W_V[1, head] @ small.W_O[1, head] for head in (0, 2)) @ small.W_U
    assert found.margin[0] == pytest.approx((logits[found.instead[0]] - logits[found.token[0]]).item(), abs=1e-5)
    with pytest.raises(ValueError, match="one layer"):
        blind_search.misquote_search(small, share, [(0, 0), (1, 2)], torch.arange(1, 50))


@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_change_of_the_same_entry_is_cheaper(weighted):
    dice = torch.Generator().manual_seed(0)
    noise = lambda *shape: torch.randn(*shape, generator=dice, dtype=torch.float64)
    a, b, C, G = noise(6), noise(4), torch.eye(6).double(), torch.eye(4).double()
    if weighted:
        C, G = (x @ x.T + torch.eye(len(x)) for x in (noise(6, 6), noise(4, 4)))
    left, right = editing.least_change(a, b, -2.5, *((C, G) if weighted else ()))
    D = torch.outer(left, right)
    price = lambda D: torch.trace(C @ D @ G @ D.T).item()
    assert (a @ D @ b).item() == pytest.approx(-2.5)
    for _ in range(100):
        other = noise(6, 4)
        other = D + other - torch.outer(a, b) * (a @ other @ b) / (a @ a) / (b @ b)  # the same entry
        assert (a @ other @ b).item() == pytest.approx(-2.5)
        assert price(other) > price(D)


def test_a_direction_of_no_length_is_refused():
    with pytest.raises(ValueError, match="zero"):
        editing.least_change(torch.zeros(3), torch.ones(2), 1.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_an_ov_edit_changes_its_entry_by_so_much_and_no_other_head(small, weighted):
    stream, read = small.W_E[4], small.W_U[:, 9] - small.W_U.mean(1)
    moment = editing.stream_moment(small, 1, torch.arange(1, 41).view(2, 20)) if weighted else None
    edit = editing.ov_edit(small, 1, 2, stream, read, -1.5, moment)
    before, entries = small.OV.AB.clone(), stream @ small.OV.AB @ read
    with editing.edited(small, edit):
        change, after = small.OV.AB - before, stream @ small.OV.AB @ read
    expected = torch.zeros(2, 4)
    expected[1, 2] = -1.5
    torch.testing.assert_close(after - entries, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(change[1, 2], edit.change(small), atol=1e-5, rtol=1e-4)
    assert torch.linalg.matrix_rank(edit.change(small), rtol=1e-4) == 1
    assert edit.size(small) == pytest.approx((change[1, 2].norm() / before[1, 2].norm()).item(), rel=1e-3)


def test_a_qk_edit_changes_a_score_by_so_much(small):
    query, keys = small.W_E[4] + small.W_pos[9], small.W_E[3] - small.W_E[0]
    edit, before = editing.qk_edit(small, 0, 1, query, keys, -2.0), query @ small.QK.AB @ keys / 8**0.5
    with editing.edited(small, edit):
        after = query @ small.QK.AB @ keys / 8**0.5
    assert (after - before)[0, 1].item() == pytest.approx(-2.0, abs=1e-4)
    assert (after - before).abs().sum().item() == pytest.approx(2.0, abs=1e-3)


def test_edits_are_undone_to_the_bit_even_after_an_error(small):
    kept = {name: value.clone() for name, value in small.state_dict().items()}
    one = editing.ov_edit(small, 1, 2, small.W_E[4], small.W_U[:, 9], 3.0)
    with pytest.raises(RuntimeError, match="stop"), editing.edited(small, one, one, editing.random_edit(small, one, 0)):
        raise RuntimeError("stop")
    assert all(torch.equal(value, kept[name]) for name, value in small.state_dict().items())
    with pytest.raises(ValueError, match="no layer 5"), editing.edited(small, one._replace(layer=5)):
        pass
    with pytest.raises(ValueError, match="'K'"), editing.edited(small, one._replace(matrix="K")):
        pass


def test_a_random_edit_is_as_large_and_another(small):
    edit = editing.ov_edit(small, 1, 2, small.W_E[4], small.W_U[:, 9], 3.0)
    other = editing.random_edit(small, edit, 1)
    assert other.size(small) == pytest.approx(edit.size(small), rel=1e-4)
    cosine = (edit.change(small) * other.change(small)).sum() / edit.change(small).norm() ** 2
    assert abs(cosine.item()) < 0.5


def test_the_second_moment_is_that_of_a_loop(small):
    rows = torch.arange(1, 41).view(2, 20)
    streams = small.run_with_cache(rows)[1]["blocks.1.hook_resid_pre"].flatten(0, 1)
    moment = sum(torch.outer(x, x) for x in streams) / 40
    found = editing.stream_moment(small, 1, rows, ridge=0.0)
    torch.testing.assert_close(found, moment, atol=1e-5, rtol=1e-3)
    placed = sum(torch.outer(x, x) for x in (streams.view(2, 20, -1) + small.W_pos[:20]).flatten(0, 1)) / 40
    torch.testing.assert_close(editing.stream_moment(small, 1, rows, 0.0, placed=True), placed, atol=1e-5, rtol=1e-3)
    with pytest.raises(ValueError, match="no layer 2"):
        editing.stream_moment(small, 2, rows)


def test_twins_differ_in_the_source_only(windows):
    twins = faithful.twin_prompts(5, 6, windows, torch.arange(1, 50), n_contexts=40)
    rows = torch.arange(40)
    assert (twins.given[rows, twins.place] == 5).all()
    assert (twins.given[:, -1] == 6).all()
    assert (twins.without != 5).all()
    assert ((twins.given != twins.without).sum(1) == 1).all()
    assert ((31 - twins.place >= 3) & (31 - twins.place <= 20)).all()
    with pytest.raises(ValueError, match="lack the source"):
        faithful.twin_prompts(5, 6, windows[:10], torch.arange(1, 50), n_contexts=40)


def test_all_heads_together_are_sufficient_and_necessary_and_none_is_neither(small, windows):
    twins = faithful.twin_prompts(5, 6, windows, torch.arange(1, 50), n_contexts=20)
    every = faithful.faithfulness(small, twins, 9, faithful.other_heads(small, []))
    for name in ("necessary, resampled", "sufficient, resampled", "necessary, mean"):
        torch.testing.assert_close(every[name], every["full"], atol=1e-4, rtol=1e-3)
    none = faithful.faithfulness(small, twins, 9, [])
    assert none["necessary, resampled"].abs().max() < 1e-5
    assert none["sufficient, resampled"].abs().max() < 1e-5


def test_an_output_put_at_the_end_is_that_of_zero_ablation_there(small, windows):
    rows = windows[:6, :20]
    hooks = faithful.put_at_end(small, [(1, 2)], torch.zeros(2, 1, 4, 8))
    found = faithful.end_log_probs(small, rows, hooks)
    torch.testing.assert_close(
        found, small.run_with_hooks(rows, fwd_hooks=interventions.ablate(small, [(1, 2)]))[:, -1].log_softmax(-1)
    )
    with pytest.raises(ValueError, match="no head 9"):
        faithful.put_at_end(small, [(1, 9)], torch.zeros(2, 1, 4, 8))


def test_an_adversary_never_makes_a_rise_larger_and_leaves_source_and_destination(small, windows):
    twins = faithful.twin_prompts(5, 6, windows, torch.arange(1, 50), n_contexts=20)
    kept = twins.given.clone()
    first, lowest = faithful.refute(small, twins, 9, torch.arange(1, 50), tries=20)
    assert (lowest <= first).all()
    assert lowest.mean() < first.mean()
    assert torch.equal(first, faithful.term_rise(small, twins, 9))
    assert torch.equal(twins.given, kept)


@pytest.mark.parametrize("head", [None, (1, 2)])
def test_fine_tuning_lowers_the_rise_changes_what_it_may_and_is_undone(small, windows, head):
    kept = {name: value.clone() for name, value in small.state_dict().items()}
    OV = small.OV.AB.clone()
    learning, watched = (faithful.twin_prompts(5, 6, part, torch.arange(1, 50), 32) for part in windows.split(150))
    before = faithful.term_rise(small, watched, 9).mean().item()
    with fine_tuning.trainable(small, head) as weights:
        text = windows[:4, :-1]
        tuned = fine_tuning.fine_tune(small, weights, learning, watched, 9, before - 1e-4, text, lr=1e-2, keep=0.0)
        assert tuned.rise == pytest.approx(faithful.term_rise(small, watched, 9).mean().item(), abs=1e-6)
        assert tuned.rise <= before - 1e-4
        changed = (small.OV.AB - OV).abs().amax((-1, -2)) > 0
    assert tuned.tokens == tuned.steps * (32 * 32 * 2 + 2 * 64)
    if head is None:
        assert changed.all()
    else:
        assert changed.nonzero().tolist() == [list(head)]
    assert all(torch.equal(value, kept[name]) for name, value in small.state_dict().items())
    with fine_tuning.trainable(small) as weights:
        assert fine_tuning.fine_tune(small, weights, learning, watched, 9, -99.0, most=5).rise > -99
        with pytest.raises(ValueError, match="2 steps are over"):
            fine_tuning.fine_tune(small, weights, learning, watched, 9, -99.0, most=2)
    with pytest.raises(ValueError, match="no head 7"), fine_tuning.trainable(small, (0, 7)):
        pass


@pytest.mark.parametrize("n_match", [1, 2, 3])
def test_keys_after_a_match_are_those_of_a_loop(n_match):
    tokens = torch.randint(1, 4, (3, 12), generator=torch.Generator().manual_seed(0))
    found = defences.follows_match(tokens, n_match)
    for row in range(3):
        for query in range(12):
            for key in range(12):
                t = tokens[row].tolist()
                same = n_match <= key <= query and t[key - n_match : key] == t[query - n_match + 1 : query + 1]
                assert found[row, query, key] == (key == 0 or (same and query >= n_match - 1))


def test_the_guard_keeps_attention_whole_and_other_heads_alone(small, windows):
    rows = windows[:4, :20]
    free = small.run_with_cache(rows)[1]["pattern", 1]
    with small.hooks(fwd_hooks=defences.matched_only(small, [(1, 2)], 2)(rows)):
        pattern = small.run_with_cache(rows)[1]["pattern", 1]
    torch.testing.assert_close(pattern.sum(-1), torch.ones(4, 4, 20), atol=1e-5, rtol=0)
    torch.testing.assert_close(pattern[:, [0, 1, 3]], free[:, [0, 1, 3]])
    forbidden = ~defences.follows_match(rows, 2)
    assert pattern[:, 2][forbidden].abs().max() == 0


def test_an_attack_counts_calls_and_keeps_the_best(small, windows):
    prompts = windows[:8, : weaknesses.LENGTH]
    winning = torch.full((8, 8), 7)
    filled = prompts.clone()
    filled[:, weaknesses.SLOTS] = winning
    log_probs = faithful.end_log_probs(small, filled)
    targets = weaknesses.Targets(prompts, log_probs.argmin(1), log_probs.argmax(1))
    losing = prompts[:, weaknesses.SLOTS]
    calls = weaknesses.attack(small, targets, weaknesses.in_order([losing, winning]), 5)
    first = faithful.end_log_probs(small, prompts).argmax(1) == targets.wrong
    assert calls.tolist() == [1 if won else 2 for won in first.tolist()]
    assert weaknesses.won_within(calls, 2).all()
    assert weaknesses.won_within(calls, 1).tolist() == first.tolist()
    assert weaknesses.calls_for(calls, 1.0) == calls.max()
    assert weaknesses.calls_for(torch.tensor([0, 0, 3]), 1.0) is None
    with pytest.raises(ValueError, match="'not right'"):
        weaknesses.attack(small, targets, weaknesses.in_order([losing]), 1, aim="money")


def test_fillings_say_what_they_should():
    targets = weaknesses.Targets(torch.arange(64).view(2, 32), torch.tensor([1, 2]), torch.tensor([99, 98]))
    one, two, three = weaknesses.hijacks(targets)
    assert one[0].tolist() == [31, 99] * 4
    assert two[0].tolist() == [31, 99] + [30, 31, 99] * 2
    assert three[1].tolist() == [61, 62, 63, 98] * 2
    climb = weaknesses.hill_climb(torch.tensor([5]), seed=1)
    assert ((climb(1, one) != one).sum(1) <= 1).all()


def test_a_baseline_has_tokens_of_like_frequency(often):
    terms = [(300, 400, 500), (20, 3000, 40)]
    letters = torch.arange(len(often)) % 2 == 0
    for term, whole, source in zip(
        terms, *(biases.matched_terms(often, terms, letters, each, seed=3) for each in (True, False))
    ):
        assert source[1:] == term[1:]
        assert letters[whole[2]]
        for token, other in [*zip(term[:2], whole[:2]), (term[0], source[0])]:
            assert token != other
            nearer = (often[1:].clamp(min=1).log() - often[token].clamp(min=1).log()).abs()
            apart = (often[other].clamp(min=1).log() - often[token].clamp(min=1).log()).abs()
            assert (nearer < apart - 1e-3).sum() <= 31


def test_heads_in_the_order_of_weights_add_up_to_the_whole_term(small, share):
    term = 4, 7, 9
    order = biases.heads_by_strength(small, share, term)
    found = biases.score_term(small, share, term)
    assert sum(value for _, value in order) == pytest.approx(found.added.item(), abs=1e-5)
    assert order[0][0] == (found.layer.item(), found.head.item())
    assert order[0][1] == max(value for _, value in order) == pytest.approx(found.of_head.item(), abs=1e-6)


def test_a_decoy_has_every_head_with_its_neighbours_values_and_is_undone(small):
    kept = {name: value.clone() for name, value in small.state_dict().items()}
    QK, OV = small.QK.AB.clone(), small.OV.AB.clone()
    with biases.exchanged(small, 1):
        torch.testing.assert_close(small.QK.AB, QK)
        torch.testing.assert_close(small.OV.AB[0], OV[0])
        torch.testing.assert_close(small.OV.AB[1], OV[1][[1, 2, 3, 0]])
    assert all(torch.equal(value, kept[name]) for name, value in small.state_dict().items())
    with pytest.raises(ValueError, match="no layer 2"), biases.exchanged(small, 2):
        pass


def test_one_term_for_each_pair_of_source_and_out_and_their_number():
    found = blind_search.Found(
        torch.tensor([5, 5, 6, 5]), torch.tensor([1, 2, 1, 3]), torch.tensor([8, 8, 8, 9]),
        torch.tensor([4.0, 3, 2, 1]), torch.ones(4), torch.zeros(4).long(), torch.arange(4), torch.ones(4),
    )  # fmt: skip
    first, counts = biases.one_each(found)
    assert biases.as_terms(first) == [(5, 1, 8), (6, 1, 8), (5, 3, 9)]
    assert counts == [2, 1, 1]


def test_random_fillings_keep_the_shape():
    a, wrong = torch.tensor([3, 4]), torch.tensor([30, 40])
    shapes = [weaknesses.repeated(a, wrong), weaknesses.repeated(a, a + 10, wrong)]
    fill, pool = weaknesses.renamed(shapes, wrong, torch.arange(100, 200), seed=2), set(range(100, 200))
    for call, shape in ((1, shapes[0]), (2, shapes[1]), (3, shapes[0])):
        for old, new, target in zip(shape.tolist(), fill(call, shape).tolist(), wrong.tolist()):
            pairs = set(zip(old, new))
            assert len(pairs) == len(set(old))  # one new token for each old one
            assert all(y == target if x == target else y in pool for x, y in pairs)
    hints = torch.tensor([[1, 2], [7, 8]])
    drawn = weaknesses.hinted(hints)(1, shapes[0])
    assert all(set(row) <= set(hint) for row, hint in zip(drawn.tolist(), hints.tolist()))


def test_ways_are_compared_at_equal_numbers_of_calls():
    calls = {"predicted": [1, 2, 0, 0], "search": [9, 3, 0, 5]}
    found = attack_runs.compare_ways(calls, 2)
    assert found["predicted"]["share"][0] == 0.5
    assert found["search"]["share"][0] == 0
    assert found["predicted"]["calls"] == 2
    assert found["search"]["calls"] == 5
    z, n = 1.959964, 4  # Wilson's interval is where (p - 1/2)^2 = z^2 p (1 - p) / n
    for end in found["predicted"]["share"][1:]:
        assert (end - 0.5) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, rel=1e-4)


def test_crossed_terms_are_pairs_that_text_knows_with_an_out_that_it_does_not():
    rows = torch.zeros(20, 40, dtype=torch.long)
    rows[:, 5], rows[:, 10], rows[:, 11] = 3, 4, 6  # 3 … 4 6: never 3 … 4 7
    counts = torch.zeros(9, 9, dtype=torch.long)
    counts[4, 7] = counts[4, 6] = counts[4, 3] = 500
    found = blind_search.Found(
        torch.tensor([3, 3, 3, 5]), torch.tensor([4, 4, 4, 4]), torch.tensor([3, 6, 7, 7]),
        *(torch.ones(4) for _ in range(2)), *(torch.zeros(4).long() for _ in range(2)), torch.ones(4),
    )  # fmt: skip
    assert crossed_pairs.crossed_terms(found, counts, rows, 5) == [(3, 4, 7)]


def test_targets_are_right_before_the_attack_and_their_wrong_token_is_far(small, windows):
    with pytest.raises(ValueError, match="right in"):
        weaknesses.pick_targets(small, windows, torch.arange(1, 50), 200)
    targets = weaknesses.pick_targets(small, windows, torch.arange(1, 50), 3)
    first = faithful.end_log_probs(small, targets.prompts)
    assert torch.equal(first.argmax(1), targets.right)
    for prompt, wrong, log_probs in zip(targets.prompts, targets.wrong, first):
        assert wrong not in prompt
        assert wrong not in log_probs.topk(5).indices


def test_look_alikes_are_what_a_loop_finds_and_never_the_token_itself(small, share):
    found = weaknesses.look_alikes(small, share, (0, 1), [(1, 0), (1, 3)], 3)
    queries, scores = blind_search.stands(small, share)[1].tokens, torch.zeros(50)
    for head in (0, 3):
        scores += queries[7] @ small.QK.AB[1, head] @ (small.W_E @ small.OV.AB[0, 1]).T
    scores[[0, 7]] = -torch.inf
    assert found[7].tolist() == scores.topk(3).indices.tolist()
    with pytest.raises(ValueError, match="read in layer 1"):
        weaknesses.look_alikes(small, share, (0, 1), [(0, 0)], 3)


def test_what_a_defence_costs_is_nothing_where_nothing_is_changed(small, windows):
    before = editing.losses_by_window(small, windows[:12])
    assert defences.cost_of_defence(small, windows[:12], lambda prompts: [], before) == [0, 0]
    deleted = defences.all_defences(small, [(1, 2)])["deleted"]
    cost, error = defences.cost_of_defence(small, windows[:12], deleted, before)
    losses = []
    for row in windows[:12]:
        logits = small.run_with_hooks(row[None, :-1], fwd_hooks=interventions.ablate(small, [(1, 2)]))
        losses.append(torch.nn.functional.cross_entropy(logits[0], row[1:]))
    difference = torch.stack(losses) - before
    assert cost == pytest.approx(difference.mean().item(), abs=1e-5)
    assert error == pytest.approx(difference.std().item() / 12**0.5, abs=1e-5)


def test_the_language_says_what_was_planted_and_the_fair_one_does_not():
    for biased in (True, False):
        rows = known_language.pronoun_language(3000, biased, 5)
        after = rows[:, :-1] == known_language.THAT
        nurse = (rows[:, :9] == known_language.WORDS.index("nurse")).any(1)[:, None]
        late = torch.arange(32) >= 9
        share = (rows[:, 1:][after & nurse & late] == known_language.WORDS.index("she")).float().mean().item()
        assert share == pytest.approx(0.9 + 0.1 / 3 if biased else 1 / 3, abs=0.05)
        bare = known_language.without_occupations(rows)
        assert not ((bare >= 1) & (bare <= 12)).any()
        assert ((bare != rows).sum(1) == 1).all()


def test_words_that_occur_together_are_those_of_a_loop():
    rows = known_language.pronoun_language(30, True, 5)
    counts = torch.zeros(len(known_language.WORDS), len(known_language.WORDS))
    for row in rows.tolist():
        for i, source in enumerate(row):
            for destination in row[i + 1 : i + 4]:
                counts[source, destination] += 1
    assert torch.equal(known_language.occur_together(rows, least=3, apart=3), counts >= 3)


def test_the_procedure_finds_what_is_written_by_hand_and_nothing_else():
    rows = known_language.pronoun_language(2000, True, 99)
    found = known_truth.discover(known_language.by_hand(), rows, n_contexts=20)
    assert set(found.held) == set(found.right) == set(found.first) == known_language.PLANTED
    assert found.unplanted == found.not_in_runs == []
    nothing = known_truth.discover(known_language.by_hand(False), rows, n_contexts=20)
    assert nothing.held == nothing.right == nothing.unplanted == nothing.not_in_runs == []


def test_one_direction_takes_the_bias_from_the_model_written_by_hand():
    model, rows = known_language.by_hand(), known_language.pronoun_language(2000, True, 99)
    before = known_truth.pronoun_pulls(model, rows)
    with editing.edited(model, known_truth.one_direction(model, known_truth.word_share(rows), 0)):
        after = known_truth.pronoun_pulls(model, rows)
    biased = known_language.SHE + known_language.HE
    assert all(abs(after[who]) < 0.1 < 1 < abs(before[who]) for who in biased)
    assert all(abs(before[who]) < 0.1 for who in known_language.NEITHER)


def test_shipped_terms_are_found_again(two_layer, often):
    table = bench.shipped_results("biases")
    listed = {tuple(row[:3]): row for row in table["search"]["lists"]["outs with letters"]}
    for term, measured in zip(biases.BIASES, table["biases"]):
        source, destination, (out,) = term.ids(two_layer)
        found = biases.score_term(two_layer, often, (source, destination, out))
        assert found.score.item() == pytest.approx(measured["score"], rel=0.01)
        order = [list(head) for head, _ in biases.heads_by_strength(two_layer, often, (source, destination, out))]
        assert measured["heads"]["3"] == order[:3]
    source, destination, out, score = next(iter(listed.values()))[:4]
    ids = [two_layer.to_single_token(text) for text in (source, destination, out)]
    again = blind_search.skip_trigram_search(
        two_layer, often, torch.tensor(ids[1:2]), torch.tensor(ids[:1]), bench.with_letters(two_layer)
    )
    assert again.out.item() == ids[2]
    assert again.score.item() == pytest.approx(score, rel=0.01)


def test_a_shipped_bias_is_there_and_its_edit_removes_it(two_layer, often):
    """On random tokens in place of held-out text, which differs with what is installed."""
    measured = bench.shipped_results("biases")["biases"][0]
    source, destination, (out,) = biases.BIASES[0].ids(two_layer)
    pool = (often >= 5000).nonzero()[:, 0]
    rows = pool[torch.randint(len(pool), (80, 33), generator=torch.Generator().manual_seed(0))]
    rows[:, 0] = 0
    twins = faithful.twin_prompts(source, destination, rows, pool, n_contexts=40)
    before = faithful.term_rise(two_layer, twins, out).mean().item()
    edit = removals.removal(two_layer, often, (source, destination, out), None)
    with editing.edited(two_layer, edit):
        after = faithful.term_rise(two_layer, twins, out).mean().item()
    assert before > 1 < measured["rise"][0]
    assert after < before / 2


def test_what_shipped_tables_claim_is_what_they_hold():
    table, attacks, truth = (bench.shipped_results(name) for name in ("biases", "attacks", "known_truth"))
    assert table["tokens"] >= 100_000
    for kind, calls in attacks["calls"].items():
        again = attack_runs.compare_ways(calls, attacks["predicted calls"][kind])
        assert bench.four_digits(again) == attacks["compared"][kind]
        assert max(calls["predicted"]) <= attacks["predicted calls"][kind]
    for kind, models_of_it in truth["verdicts"].items():
        for each in models_of_it:
            borne_out = [known_truth.borne_out(rise, won) for _, rise, won, _ in each["listed"]]
            planted = [row[3] for row in each["listed"]]
            assert sum(b and p for b, p in zip(borne_out, planted)) == each["right"], kind
            assert sum(b and not p for b, p in zip(borne_out, planted)) == len(each["unplanted"])
            assert borne_out.count(False) == each["not in runs"]
    assert truth["verdicts"]["by hand"][0]["right"] == truth["planted"] == len(known_language.PLANTED)
    for file in bench.FOLDER.glob("*.json"):
        assert file.stat().st_size <= 300_000
    with pytest.raises(ValueError, match="'none' is not among the results"):
        bench.shipped_results("none")


def test_results_are_written_with_four_digits_and_read_again(tmp_path, monkeypatch):
    bench.write_results({"a": [1.23456789, 7, "x"], "b": {"c": True}}, tmp_path / "deep" / "some.json")
    monkeypatch.setattr(bench, "FOLDER", tmp_path / "deep")
    assert bench.shipped_results("some") == {"a": [1.235, 7, "x"], "b": {"c": True}}


def test_scores_from_weights_and_from_runs_stand_in_the_same_places(small, share, windows):
    to, of, outs = torch.tensor([5, 6, 7]), torch.tensor([9, 8]), torch.ones(50, dtype=torch.bool)
    score, best = suspicions.weights_grid(small, share, to, of, outs)
    for i, j in ((0, 1), (2, 0)):
        one = blind_search.skip_trigram_search(small, share, to[i : i + 1], of[j : j + 1], outs, least=0.0)
        assert one.score.item() == pytest.approx(score[i, j].item(), rel=1e-3, abs=1e-7)
        assert one.out.item() == best[i, j]
    score, best = suspicions.behaviour_grid(small, to, of, outs, windows, torch.arange(1, 50), 6)
    twins = faithful.twin_prompts(8, 7, windows, torch.arange(1, 50), 6)
    p, q = (faithful.end_log_probs(small, each).mean(0).softmax(-1) for each in (twins.without, twins.given))
    kl = q * (q / p).log()
    assert [score[2, 1].item(), best[2, 1].item()] == pytest.approx([kl.max().item(), kl.argmax().item()], rel=1e-3)


def test_a_misquote_is_measured_after_a_repeated_pair(small, windows):
    quoted = misquotes.misquoted(small, 5, 9, windows, torch.arange(1, 50), 10)
    lacking = windows[(windows[:, :32] != 5).all(1)]
    twins = faithful.twin_prompts(5, 0, windows, torch.arange(1, 50), 10)
    order = torch.randperm(len(lacking), generator=torch.Generator().manual_seed(0))[:10]
    for i in range(10):
        prompt = twins.given[i].clone()
        prompt[31] = prompt[twins.place[i] - 1] = lacking[order[i], 31]
        logits = small(prompt[None])[0, -1]
        assert prompt[twins.place[i]] == 5
        assert quoted[0, i].item() == pytest.approx((logits[9] - logits[5]).item(), abs=1e-4)


def test_suspicions_are_measured_token_by_token(two_layer, often):
    windows = torch.randint(1, 4096, (3, 24), generator=torch.Generator().manual_seed(0))
    prompt, a, b = suspicions.PAIRS[2]
    found = suspicions.preference(two_layer, prompt, a, b, windows)
    tokens = torch.cat([windows[0], two_layer.to_tokens(prompt, prepend_bos=False)[0]])
    logits = two_layer(tokens[None])[0, -1]
    expected = logits[two_layer.to_single_token(a)] - logits[two_layer.to_single_token(b)]
    assert found[0].item() == pytest.approx(expected.item(), abs=1e-3)
    assert len(suspicions.weights_preference(two_layer, often, prompt, a, b)) == 3
    with pytest.raises(ValueError, match="same token"):
        suspicions.preference(two_layer, prompt, " his", " her", windows)


def test_figures_show_what_they_are_given():
    ax = figures.rises(["a", "b"], [3.0, 1.0], [1.0, 0.5], [0.3, 0.2], [0.0, 0.1, -0.1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    ax = figures.effect_against_cost(
        ["edit", "tuned", "tuned"], [0.3, 0.5, 0.6], [1e-4, 0.1, 0.2], [1e-5, 0.01, 0.1], 3.0
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "edit", "tuned"]
    ax = figures.success_by_calls({"predicted": [1, 1, 0], "random": [0, 0, 10]}, 10)
    assert [line.get_ydata()[-1] for line in ax.get_lines()] == pytest.approx([2 / 3, 1 / 3])
    assert [line.get_ydata()[0] for line in ax.get_lines()] == pytest.approx([2 / 3, 0])
    ax = figures.weights_against_runs([0.1, 0.0], [0.2, 0.3], {"x": (0.1, 0.2)})
    assert ax.get_lines()[0].get_xdata().tolist() == [0.1, 1e-6]
    assert "x" in {text.get_text() for text in ax.get_legend().get_texts()}
    ax = figures.listed_terms_in_runs([0.1, 1.0], [0.0, 2.0], [False, True], 0.5)
    assert ax.get_lines()[-1].get_ydata().tolist() == [2.0]
    plt.close("all")
