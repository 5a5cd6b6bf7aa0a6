"""What induction heads do with a text, against loops, weights written by hand, or counting."""

import itertools
import math

import pytest
import torch

from walkthrough import behaviour, interventions, models
from walkthrough.two_layers import handmade, in_context, induction


@pytest.fixture(scope="module")
def tiny():
    network = models.PaperModel(models.config(2, d_model=32, n_heads=4, n_ctx=64, d_vocab=64), 0)
    with torch.no_grad():
        network.tok_embed.weight.mul_(10)
    return models.bridge(network, models.load_tokenizer(), name="tiny")


def test_on_repeated_tokens_the_score_by_search_is_that_by_distance():
    once = 1 + torch.randperm(40)[:9]
    tokens = torch.cat([torch.zeros(1, dtype=torch.long), once.repeat(3)])
    pattern = torch.rand(2, len(tokens), len(tokens)).tril()
    pattern = pattern / pattern.sum(-1, keepdim=True)
    by_distance = behaviour.prefix_matching_score(pattern[None], 9)
    torch.testing.assert_close(in_context.following_score(pattern, tokens), by_distance)


def test_a_token_beside_itself_follows_itself():
    tokens = torch.tensor([0, 5, 5])
    itself, before = torch.eye(3), torch.eye(3).roll(-1, 1)
    before[0] = torch.tensor([1.0, 0, 0])
    assert in_context.following_score(torch.stack([itself, before]), tokens).tolist() == [1, 0]


def test_a_prompt_without_repeats_has_no_score():
    with pytest.raises(ValueError, match="no token comes twice"):
        in_context.following_score(torch.eye(3)[None], torch.tensor([0, 5, 6]))


def test_shuffled_copies_hold_the_same_tokens_at_many_distances():
    rows = in_context.shuffled_twice(30, 12, batch=40)
    first, second = rows[:, 1:13], rows[:, 13:]
    assert not rows[:, 0].any()
    assert torch.equal(first.sort(1).values, second.sort(1).values)
    assert all(len(set(row)) == 12 for row in first.tolist())
    assert set(first.flatten().tolist()) == set(range(1, 30))
    distances = 12 + torch.arange(12)[:, None] - torch.arange(12)
    apart = torch.where(second[:, :, None] == first[:, None], distances, 0).sum(-1)
    assert len(apart.unique()) == 23
    assert torch.equal(rows, in_context.shuffled_twice(30, 12, batch=40))
    assert not torch.equal(rows, in_context.shuffled_twice(30, 12, batch=40, seed=1))
    with pytest.raises(ValueError, match="29 tokens"):
        in_context.shuffled_twice(30, 30, batch=1)


def test_shuffled_blocks_keep_their_inner_order():
    rows = in_context.shuffled_blocks(60, 12, 3, batch=10)
    for row in rows.tolist():
        first, second = row[1:13], row[13:]
        assert len(set(first)) == 12
        starts = [first.index(token) for token in second[::3]]
        assert sorted(starts) == [0, 3, 6, 9]
        assert second == [token for start in starts for token in first[start : start + 3]]
    assert len({tuple(row[1:13].tolist().index(token) for token in row[13:].tolist()) for row in rows}) > 3
    with pytest.raises(ValueError, match="blocks of 5"):
        in_context.shuffled_blocks(60, 12, 5, batch=1)


def test_a_positional_copier_scores_at_its_own_length_only():
    W_E, W_pos, W_U = handmade.bench(50, 61)
    fake = handmade.positional_copier(50, 61, back=19)
    run = lambda rows: handmade.run_heads(rows, W_E, W_pos, W_U, [fake])[1]
    scores = induction.scores_at(run, 50, [15, 20, 25])
    assert scores[1] > 0.99
    assert scores[[0, 2]].max() < 0.1
    rows = in_context.shuffled_twice(50, 20, batch=16)
    on_shuffled = [in_context.following_score(pattern, row) for pattern, row in zip(run(rows), rows)]
    assert torch.stack(on_shuffled).mean() < 0.15
    logits, _ = handmade.run_heads(rows, W_E, W_pos, W_U, [fake])
    assert torch.equal(logits[:, 25].argmax(-1), rows[:, 6])


def test_a_perfect_copier_a_silent_one_and_chance():
    tokens = torch.tensor([3, 9, 4, 1])
    copier = torch.nn.functional.one_hot(tokens, 12).float() + torch.randn(4, 1)
    assert in_context.copying_score(copier, tokens) == pytest.approx(1)
    assert in_context.copying_score(-copier, tokens) == 0
    scores = [in_context.copying_score(torch.randn(25, 40), torch.randperm(40)[:25]) for _ in range(200)]
    assert sum(scores) / 200 == pytest.approx(1 / 25, abs=0.005)


def test_the_right_token_place_by_place(tiny):
    tokens = behaviour.repeated_tokens(64, 7, 3, batch=3)
    hooks = interventions.ablate(tiny, [(1, 2)])
    found = in_context.right_token(tiny, tokens, 7, hooks)
    logits = tiny.run_with_hooks(tokens, fwd_hooks=hooks)
    assert {value.shape for value in found.values()} == {(3, 14)}
    for row in range(3):
        for position in (7, 12, 20):
            here, right = logits[row, position], tokens[row, position + 1]
            by_hand = here[right] - here.mean(), here.log_softmax(0)[right], here.softmax(0)[right]
            for value, expected in zip(found.values(), by_hand):
                torch.testing.assert_close(value[row, position - 7], expected)
    costs = behaviour.copy_loss(tiny, tokens, 7, hooks)
    torch.testing.assert_close(-found["log-probability"].mean(1), costs)


def test_mixtures_are_balanced_and_twins_exchange_the_followers():
    mixture = in_context.mixtures(100, n_b=2, n_c=1, batch=12, gap=4)
    for number, row in enumerate(mixture.rows.tolist()):
        a, b, c = row[-1], mixture.b[number].item(), mixture.c[number].item()
        assert len({a, b, c}) == 3
        followers = [row[place] for place in mixture.after]
        assert [row[place - 1] for place in mixture.after] == [a] * 3
        assert (followers.count(b), followers.count(c)) == (2, 1)
        exchanged = [{b: c, c: b}[token] for token in followers]
        assert mixture.twins[number, mixture.after].tolist() == exchanged
        assert [token == b for token in followers] == mixture.holds_b[number].tolist()
    assert mixture.holds_b.sum(0).tolist() == [8, 8, 8]
    same = torch.ones(mixture.rows.shape[1], dtype=torch.bool).index_fill(0, mixture.after, False)
    assert torch.equal(mixture.rows[:, same], mixture.twins[:, same])
    with pytest.raises(ValueError, match="multiple of 3"):
        in_context.mixtures(100, n_b=2, n_c=1, batch=10)


def test_the_control_ends_in_another_token():
    mixture = in_context.mixtures(1000, n_b=1, n_c=1, batch=8)
    other = in_context.ending_elsewhere(mixture)
    assert torch.equal(other.rows[:, :-1], mixture.rows[:, :-1])
    assert torch.equal(other.rows[:, -1], mixture.rows[:, 1])
    assert (other.rows[:, -1] != mixture.rows[:, -1]).all()


class Counter(torch.nn.Module):
    """A model that gives each token the log of how often it followed the last one, and b a bonus of its own."""

    def __init__(self, favourite):
        super().__init__()
        self.favourite = favourite

    def run_with_hooks(self, rows, fwd_hooks):
        logits = torch.full((len(rows), rows.shape[1], 100), -9.0)
        for number, row in enumerate(rows.tolist()):
            after = [following for token, following in itertools.pairwise(row) if token == row[-1]]
            for token in set(after):
                logits[number, -1, token] = math.log(after.count(token))
        logits[:, :, self.favourite] += 2
        return logits


def test_a_model_that_counts_has_the_log_of_the_counts_whatever_it_likes():
    mixture = in_context.mixtures(100, n_b=3, n_c=1, batch=8, seed=2)
    ratios = in_context.log_ratio(Counter(mixture.b[0].item()), mixture)
    torch.testing.assert_close(ratios, torch.full((8,), math.log(3)), atol=0.3, rtol=0)
    assert ratios.median().item() == pytest.approx(math.log(3), abs=1e-5)


def test_attention_to_the_followers_head_by_head(tiny):
    mixture = in_context.mixtures(64, n_b=2, n_c=1, batch=3, gap=4)
    commoner, rarer = in_context.paid_to_followers(tiny, mixture, [3, 1])
    for number, (row, twin) in enumerate(zip(mixture.rows, mixture.twins)):
        for offset, text, common in ((0, row, mixture.b), (3, twin, mixture.c)):
            pattern = tiny.run_with_cache(text[None])[1]["pattern", 1][0, :, -1]
            for column, head in enumerate((3, 1)):
                of = {True: 0.0, False: 0.0}
                for place in mixture.after.tolist():
                    of[bool(text[place] == common[number])] += pattern[head, place].item()
                assert commoner[number + offset, column].item() == pytest.approx(of[True], abs=1e-6)
                assert rarer[number + offset, column].item() == pytest.approx(of[False], abs=1e-6)


def test_pairs_that_have_stood_before():
    rows = torch.tensor([[0, 5, 6, 9, 5, 6], [0, 2, 2, 2, 5, 6]])
    found = in_context.completes_pair(rows)
    assert found.tolist() == [[False, False, False, False, True], [False, False, True, False, False]]


def test_deleting_the_induction_heads_costs_pairs_that_come_again(two_layer):
    text = "def feed(quokka, leaf):\n    quokka.eat(leaf)\n    return quokka.weight(leaf)\n"
    rows = two_layer.to_tokens(text)
    heads = list(induction.induction_heads(two_layer))
    cost = induction.losses(two_layer, rows, heads) - induction.losses(two_layer, rows)
    again = in_context.completes_pair(rows)
    assert cost[again].mean() > 1 > cost[~again].mean()
