"""Which words the heads copy, by loops over whole tables."""

import torch

from walkthrough import interventions, models
from walkthrough.circuits import ov_circuit, qk_circuit
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
