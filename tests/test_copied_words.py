"""Which words the heads copy, by loops over whole tables."""

import pytest
import torch

from walkthrough import interventions, models
from walkthrough.circuits import centred, ov_circuit, own_logit, qk_circuit
from walkthrough.one_layer import copying, skip_trigrams

POOL = torch.arange(1, 64)


def test_split_words_are_those_that_text_splits(one_layer):
    words = copying.split_words(one_layer.tokenizer)
    assert len(words) == len(set(words)) > 100
    for source, first, rest in words[::20]:
        word = one_layer.to_string([source])
        assert word[0] == " "
        assert one_layer.to_tokens("x" + word, prepend_bos=False)[0, 1:].tolist() == [source]
        assert one_layer.to_tokens(word[1:], prepend_bos=False)[0].tolist() == [first, rest]


def test_copying_table_by_loops():
    model, words = models.tiny(1, seed=3), torch.tensor([4, 8, 15, 16, 23, 42])
    own = {}
    for word in words.tolist():
        for head in range(4):
            row = ov_circuit(model, 0, head).AB[word]
            own[word, head] = (row[word] - row.mean()) / row.std()
    best = sorted(words.tolist(), key=lambda word: -max(own[word, head] for head in range(4)))
    table = copying.copying_table(model, words, POOL, 3)
    assert [row[0] for row in table] == best[:3]
    for word, head, destinations, outs in table:
        assert own[word, head] == max(own[word, h] for h in range(4))
        QK, OV = qk_circuit(model, 0, head).AB, ov_circuit(model, 0, head).AB
        assert destinations == sorted(POOL.tolist(), key=lambda d: -(QK[d, word] - QK[d, 0]))[:4]
        assert outs == OV[word].argsort(descending=True)[:4].tolist()


def test_rank_counts_what_is_larger():
    table = torch.tensor([[3.0, 1.0, 2.0], [5.0, 5.0, 4.0]])
    assert copying.rank(table, torch.tensor([1, 0])).tolist() == [2, 0]


def test_copied_in_pieces_by_loops():
    model = models.tiny(1, seed=5)
    words = torch.randint(64, (40, 3), generator=torch.Generator().manual_seed(0)).tolist()
    found = copying.copied_in_pieces(model, 1, *torch.tensor(words).T, n_outs=30, n_destinations=25)
    QK, OV = qk_circuit(model, 0, 1).AB, ov_circuit(model, 0, 1).AB
    for got, (whole, first, rest) in zip(found.tolist(), words):
        better_outs = sum(OV[whole, out] > OV[whole, rest] for out in range(64))
        keen = QK[:, whole] - QK[:, 0]
        keener = sum(keen[other] > keen[first] for other in range(64))
        assert got == (better_outs < 30 and keener < 25)
    assert 0 < found.sum() < len(words)


def test_copying_effect_is_the_effect_of_each_word_on_itself_in_a_changed_run():
    model, generator = models.tiny(1, seed=5), torch.Generator().manual_seed(0)
    windows = torch.randint(1, 64, (200, 32), generator=generator)
    words, destinations = torch.tensor([5, 9]), torch.randint(1, 64, (12,), generator=generator)
    silent = interventions.ablate(model, [(0, head) for head in range(4)])
    for hooks in ([], silent):
        got = copying.copying_effect(model, words, destinations, windows, POOL, hooks)
        for word, mean in zip(words.tolist(), got):
            with model.hooks(fwd_hooks=hooks):
                effects = skip_trigrams.effect(model, word, destinations, [word], windows, POOL, 12)
            torch.testing.assert_close(mean, effects.mean())
    assert got.abs().max() < 1e-5  # without heads, an earlier token changes nothing


KINDS = {
    "<BOS>": "<BOS>", "\n    ": "line break", "):\n": "line break", "  ": "spaces", "open": "word", "Open": "Word",
    "OPEN": "WORD", "A": "Word", " open": "·word", " Open": "·Word", " OPEN": "·WORD", " x1": "digits", "[0": "digits",
    "']": "brackets", " (": "brackets", "==": "other signs", " ==": "·other signs", "\ufffd": "not ASCII",
    "n't": "other signs", "   x": "·word",
}  # fmt: skip


def test_kinds_are_told_by_the_surface_of_a_token():
    assert {text: copying.KINDS[copying.token_kind(text)] for text in KINDS} == KINDS


def test_shuffles_within_kinds_keep_kinds_and_use_every_order_equally():
    torch.manual_seed(0)
    kinds = torch.tensor([5, 2, 5, 9, 2, 5])
    orders = copying.shuffles_within(kinds, 600)
    assert (orders.sort(-1).values == torch.arange(6)).all()
    assert (kinds[orders] == kinds).all()
    drawn, times = orders.unique(dim=0, return_counts=True)
    assert len(drawn) == 12  # three of one kind in 6 orders, two of another in 2
    assert 25 < times.min() <= times.max() < 85


def model_table():
    """A small model, and head 2's centred circuit."""
    model = models.tiny(1, seed=3)
    return model, centred(ov_circuit(model, 0, 2))


def test_the_kind_s_logit_is_the_mean_over_its_tokens_and_over_shuffles():
    _, ov = model_table()
    kinds = torch.randint(0, 5, (64,), generator=torch.Generator().manual_seed(1))
    slow = torch.stack([ov.AB[a, kinds == kinds[a]].mean() for a in range(64)])
    torch.testing.assert_close(copying.kind_logit(ov, kinds), slow)
    torch.manual_seed(0)
    orders = copying.shuffles_within(kinds, 4000)
    shuffled = torch.stack([ov.AB[torch.arange(64), order] for order in orders]).mean(0)
    torch.testing.assert_close(shuffled.mean(), slow.mean(), atol=2e-3, rtol=0)


def prompts(model):
    """Tokens that start with <BOS>, and the patterns of all heads."""
    tokens = torch.randint(1, 64, (3, 9), generator=torch.Generator().manual_seed(4))
    tokens[:, 0] = 0
    return tokens, model.run_with_cache(tokens)[1]["pattern", 0]


def test_attended_own_logits_by_loops_and_own_logits_stay_as_they_are():
    model, ov = model_table()
    tokens, patterns = prompts(model)
    own = own_logit(ov)
    before = own.clone()
    got = copying.attended_own_logit(patterns[:, 2], tokens, own)
    for row in range(3):
        for query in range(9):
            slow = sum(patterns[row, 2, query, key] * ov.AB[tokens[row, key], tokens[row, key]] for key in range(1, 9))
            torch.testing.assert_close(got[row, query], slow)
    assert torch.equal(own, before)


def test_what_goes_through_entries_is_what_a_table_without_them_lacks():
    """Against the head's output from a table with the entries set to zero; all columns together are the whole head."""
    model, ov = model_table()
    tokens, patterns = prompts(model)
    outs = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    table = ov.AB.clone()
    whole = patterns[:, 2] @ table[tokens]
    table[torch.arange(64), outs] = 0
    got = copying.through_entries(ov, patterns[:, 2], tokens, outs)
    torch.testing.assert_close(got, whole - patterns[:, 2] @ table[tokens])
    turns = [(torch.arange(64) + shift) % 64 for shift in range(64)]
    every = sum(copying.through_entries(ov, patterns[:, 2], tokens, turn) for turn in turns)
    torch.testing.assert_close(every, whole)
    silent = model.run_with_hooks(tokens, fwd_hooks=interventions.ablate(model, [(0, 2)]))
    added = model(tokens) - silent
    torch.testing.assert_close(whole, added - added.mean(-1, keepdim=True))


def test_what_is_added_where_a_head_looks_most_one_query_at_a_time():
    model, ov = model_table()
    tokens, patterns = prompts(model)
    ablation = interventions.ablate(model, [(0, 2)])
    token, added, log_prob = copying.added_where_attended(model, 2, tokens, ablation, chunk=2)
    silent = model.run_with_hooks(tokens, fwd_hooks=ablation).log_softmax(-1)
    place = 0
    for row in range(len(tokens)):
        for query in range(1, tokens.shape[1]):
            most = tokens[row, max(range(1, query + 1), key=lambda key: patterns[row, 2, query, key])]
            assert token[place] == most
            logits = sum(patterns[row, 2, query, key] * ov.AB[tokens[row, key], most] for key in range(query + 1))
            torch.testing.assert_close(added[place], logits, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(log_prob[place], silent[row, query, most])
            place += 1
    assert place == len(token)


def test_the_same_token_is_compared_with_its_other_places():
    values, tokens = torch.tensor([1.0, 2.0, 3.0, 9.0, 5.0]), torch.tensor([4, 7, 4, 0, 4])
    torch.testing.assert_close(
        copying.same_token_elsewhere(values, tokens),
        torch.tensor([4.0, torch.nan, 3.0, torch.nan, 2.0]),
        equal_nan=True,
    )


def test_the_likelier_half_of_a_tokens_places():
    tokens, by = torch.tensor([3, 3, 3, 3, 3, 8, 8, 1]), torch.tensor([0.9, 0.1, 0.5, 0.2, 0.8, 0.1, 0.0, 0.7])
    values = torch.tensor([10.0, 1.0, 99.0, 3.0, 20.0, 7.0, 4.0, 5.0])
    assert copying.likelier_half(values, by, tokens, at_least=2).tolist() == [13.0, 3.0]
    assert copying.likelier_half(values, by, tokens, at_least=3).tolist() == [13.0]
    assert len(copying.likelier_half(values, by, tokens, at_least=6)) == 0
    with pytest.raises(ValueError, match="two halves need at least two places, not 1"):
        copying.likelier_half(values, by, tokens, at_least=1)


def test_bins_hold_their_lower_edges_and_the_last_its_upper_one_and_tell_when_they_are_empty():
    by, values = torch.tensor([0.0, 0.1, 0.1, 0.5]), torch.tensor([1.0, 3.0, 5.0, 7.0])
    with pytest.raises(ValueError, match=r"1 places from 0\.2 to 1"):
        copying.in_bins([values], by, [0.0, 0.2, 1.0])
    assert copying.in_bins([values, -values], by, [0.1, 1.0]) == [
        [(5.0, pytest.approx(2 / 3**0.5))], [(-5.0, pytest.approx(2 / 3**0.5))],
    ]  # fmt: skip
    assert copying.in_bins([values], by, [0.1, 0.5]) == copying.in_bins([values], by, [0.1, 1.0])
