"""Blind search, small edits, faithfulness, attacks and planted truth, each by a second road."""

import matplotlib.pyplot as plt
import pytest
import torch

from walkthrough import corpus, interventions, models
from walkthrough.beyond import (
    attack_runs,
    bias_runs,
    biases,
    blind_search,
    editing,
    faithful,
    fine_tuning,
    known_truth,
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


def test_the_second_moment_and_the_metric_are_those_of_a_loop(small, share):
    rows = torch.arange(1, 41).view(2, 20)
    streams = small.run_with_cache(rows)[1]["blocks.1.hook_resid_pre"].flatten(0, 1)
    moment = sum(torch.outer(x, x) for x in streams) / 40
    found = editing.stream_moment(small, 1, rows, ridge=0.0)
    torch.testing.assert_close(found, moment, atol=1e-5, rtol=1e-3)
    v, p = torch.randn(32, generator=torch.Generator().manual_seed(0)), share / share.sum()
    logits = v @ small.W_U
    variance = (p * (logits - (p * logits).sum()) ** 2).sum()
    assert (v @ editing.logit_metric(small, share, ridge=0.0) @ v).item() == pytest.approx(variance.item(), rel=1e-3)


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


def test_fine_tuning_lowers_the_rise_and_is_undone(small, windows):
    kept = {name: value.clone() for name, value in small.state_dict().items()}
    twins = faithful.twin_prompts(5, 6, windows, torch.arange(1, 50), n_contexts=32)
    before = faithful.term_rise(small, twins, 9).mean().item()
    with fine_tuning.trainable(small) as weights:
        tuned = fine_tuning.fine_tune(small, weights, twins, 9, before - 1e-3, windows[:4, :-1], lr=1e-3)
        assert faithful.term_rise(small, twins, 9).mean().item() <= before - 1e-3
    assert tuned.steps >= 1
    assert all(torch.equal(value, kept[name]) for name, value in small.state_dict().items())
    with fine_tuning.trainable(small) as weights, pytest.raises(ValueError, match="above the goal"):
        fine_tuning.fine_tune(small, weights, twins, 9, -99.0, most=2)


@pytest.mark.parametrize("n_match", [1, 2, 3])
def test_keys_after_a_match_are_those_of_a_loop(n_match):
    tokens = torch.randint(1, 4, (3, 12), generator=torch.Generator().manual_seed(0))
    found = weaknesses.follows_match(tokens, n_match)
    for row in range(3):
        for query in range(12):
            for key in range(12):
                t = tokens[row].tolist()
                same = n_match <= key <= query and t[key - n_match : key] == t[query - n_match + 1 : query + 1]
                assert found[row, query, key] == (key == 0 or (same and query >= n_match - 1))


def test_the_guard_keeps_attention_whole_and_other_heads_alone(small, windows):
    rows = windows[:4, :20]
    free = small.run_with_cache(rows)[1]["pattern", 1]
    with small.hooks(fwd_hooks=weaknesses.matched_only(small, [(1, 2)], 2)(rows)):
        pattern = small.run_with_cache(rows)[1]["pattern", 1]
    torch.testing.assert_close(pattern.sum(-1), torch.ones(4, 4, 20), atol=1e-5, rtol=0)
    torch.testing.assert_close(pattern[:, [0, 1, 3]], free[:, [0, 1, 3]])
    forbidden = ~weaknesses.follows_match(rows, 2)
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
    assert weaknesses.success_after(calls, 2) == 1
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


def test_the_language_says_what_was_planted_and_the_fair_one_does_not():
    for biased in (True, False):
        rows = known_truth.pronoun_language(3000, biased, 5)
        after = rows[:, :-1] == known_truth.THAT
        nurse = (rows[:, :9] == known_truth.WORDS.index("nurse")).any(1)[:, None]
        late = torch.arange(32) >= 9
        share = (rows[:, 1:][after & nurse & late] == known_truth.WORDS.index("she")).float().mean().item()
        assert share == pytest.approx(0.9 + 0.1 / 3 if biased else 1 / 3, abs=0.05)


def test_the_procedure_finds_what_is_written_by_hand_and_nothing_else():
    rows = known_truth.pronoun_language(2000, True, 99)
    found = known_truth.discover(known_truth.by_hand(), rows, n_contexts=20)
    assert set(found.right) == set(found.first) == known_truth.PLANTED
    assert found.wrong == []
    nothing = known_truth.discover(known_truth.by_hand(False), rows, n_contexts=20)
    assert nothing.right == nothing.wrong == nothing.not_in_runs == []


def test_one_direction_takes_the_bias_from_the_model_written_by_hand():
    model, rows = known_truth.by_hand(), known_truth.pronoun_language(2000, True, 99)
    share = rows.flatten().bincount(minlength=len(known_truth.WORDS)).float()
    share[0] = 0
    before = {who: known_truth.pronoun_pull(model, rows, who) for who in (*known_truth.SHE, *known_truth.HE)}
    with editing.edited(model, known_truth.one_direction(model, share)):
        after = {who: known_truth.pronoun_pull(model, rows, who) for who in before}
    assert all(abs(after[who]) < 0.1 < 1 < abs(before[who]) for who in before)


def test_shipped_terms_are_found_again(two_layer, often):
    table = bias_runs.bias_table()
    listed = {tuple(row[:3]): row for row in table["search"]["lists"]["outs with letters"]}
    for term, measured in zip(biases.BIASES, table["biases"]):
        source, destination, (out,) = term.ids(two_layer)
        found = biases.score_term(two_layer, often, (source, destination, out))
        assert found.score.item() == pytest.approx(measured["score"], rel=0.01)
        assert [found.layer.item(), found.head.item()] == measured["head"]
    source, destination, out, score = next(iter(listed.values()))[:4]
    ids = [two_layer.to_single_token(text) for text in (source, destination, out)]
    again = blind_search.skip_trigram_search(
        two_layer, often, torch.tensor(ids[1:2]), torch.tensor(ids[:1]), biases.with_letters(two_layer)
    )
    assert again.out.item() == ids[2]
    assert again.score.item() == pytest.approx(score, rel=0.01)


def test_a_shipped_bias_is_there_and_its_edit_removes_it(two_layer, often):
    """On random tokens in place of held-out text, which differs with what is installed."""
    measured = bias_runs.bias_table()["biases"][0]
    source, destination, (out,) = biases.BIASES[0].ids(two_layer)
    pool = (often >= 5000).nonzero()[:, 0]
    rows = pool[torch.randint(len(pool), (80, 33), generator=torch.Generator().manual_seed(0))]
    rows[:, 0] = 0
    twins = faithful.twin_prompts(source, destination, rows, pool, n_contexts=40)
    before = faithful.term_rise(two_layer, twins, out).mean().item()
    edit = biases.removal(two_layer, often, (source, destination, out), None)
    with editing.edited(two_layer, edit):
        after = faithful.term_rise(two_layer, twins, out).mean().item()
    assert before > 1 < measured["rise"][0]
    assert after < before / 2


def test_what_shipped_tables_claim_is_what_they_hold():
    table, attacks = bias_runs.bias_table(), attack_runs.attack_table()
    assert table["tokens"] >= 100_000
    for kind, calls in attacks["calls"].items():
        again, stored = attack_runs.compared(calls), attacks["compared"][kind]
        assert again.pop("success") == pytest.approx(stored.pop("success"), rel=1e-3)
        assert again == stored
    truth = known_truth.truth_table()
    assert truth["verdicts"]["by hand"][0]["right"] == truth["planted"] == len(known_truth.PLANTED)
    for file in (bias_runs.FILE, attack_runs.FILE, known_truth.FILE):
        assert file.stat().st_size <= 300_000
    with pytest.raises(ValueError, match=r"none\.json is missing"):
        bias_runs.bias_table(bias_runs.FILE.parent / "none.json")


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
    ax = figures.effect_against_cost(["edit", "tuned"], [0.3, 0.5], [1e-4, 0.1], [1e-5, 0.01], 3.0)
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"before", "edit", "tuned"}
    ax = figures.success_by_calls({"predicted": [1, 1, 0], "random": [0, 0, 10]}, 10)
    assert [line.get_ydata()[-1] for line in ax.get_lines()] == pytest.approx([2 / 3, 1 / 3])
    ax = figures.weights_against_runs([0.1, 0.0], [0.2, 0.3], {"x": (0.1, 0.2)})
    assert ax.get_lines()[0].get_xdata().min() > 0
    plt.close("all")
