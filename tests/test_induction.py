"""Measures of induction heads against dense matrices, loops, or the model run the other way."""

import pytest
import torch

from walkthrough import behaviour, circuits, interventions, models, paths
from walkthrough.two_layers import induction


@pytest.fixture(scope="module")
def tiny():
    network = models.PaperModel(models.config(2, d_model=32, n_heads=4, n_ctx=32, d_vocab=64), 0)
    with torch.no_grad():
        network.tok_embed.weight.mul_(10)
    return models.bridge(network, models.load_tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def rows():
    return behaviour.repeated_tokens(64, 9, 3, 4)


@pytest.mark.parametrize("name", ["two-layer", *models.SMALL])
def test_induction_heads_are_those_that_pay_more_than_half_and_no_other_comes_near(name):
    """Each attention added up by hand; every line between 0.1 and 0.6 names the same heads."""
    model, length = models.load(name), 20
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, length, times=3, batch=32, seed=0)
    cache, scores = model.run_with_cache(tokens)[1], {}
    for layer in range(2):
        for head in range(model.cfg.n_heads):
            pattern = cache["pattern", layer][:, head]
            paid = [
                sum(pattern[:, query, key] for key in range(query - length + 1, 1, -length)).mean()
                for query in range(length + 1, 3 * length + 1)
            ]
            scores[layer, head] = (sum(paid) / len(paid)).item()
    for line in (0.1, 0.5, 0.6):
        expected = {head: score for head, score in scores.items() if score > line}
        assert induction.induction_heads(model) == pytest.approx(expected, abs=1e-5)
    assert induction.induction_heads(models.untrained(2)) == {}


def test_match_gain_is_diagonal_minus_average(tiny):
    circuit = circuits.ov_circuit(tiny, 1, 2)
    dense = circuit.AB
    assert induction.match_gain(circuit) == pytest.approx((dense.diagonal().mean() - dense.mean()).item(), abs=1e-5)
    only_equal = type(circuit)(3 * torch.eye(5), torch.eye(5))
    assert induction.match_gain(only_equal) == pytest.approx(3 - 3 / 5)


def test_corner_table_from_dense_matrices(tiny):
    def positive(table):
        eigenvalues = torch.linalg.eigvals(table.double())
        return (eigenvalues.sum().real / eigenvalues.abs().sum()).float()

    table = induction.corner_table(tiny)
    assert table.shape == (4, 4, 3)
    W_E = tiny.W_E
    for early, late in ((0, 1), (3, 2)):
        keys = W_E @ tiny.W_V[0, early] @ tiny.W_O[0, early] @ tiny.W_K[1, late]
        term = (W_E @ tiny.W_Q[1, late]) @ keys.T / 8**0.5
        copies = W_E @ tiny.W_V[1, late] @ tiny.W_O[1, late] @ tiny.W_U
        copies = copies - copies.mean(1, keepdim=True)
        by_hand = torch.stack([positive(copies), positive(term), term.diagonal().mean() - term.mean()])
        torch.testing.assert_close(table[early, late], by_hand, rtol=1e-3, atol=1e-4)


def test_the_corner_s_queries_can_be_built_from_another_table(tiny):
    torch.testing.assert_close(induction.corner_table(tiny, tiny.W_E), induction.corner_table(tiny))
    other = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    table, plain = induction.corner_table(tiny, other), induction.corner_table(tiny)
    torch.testing.assert_close(table[..., 0], plain[..., 0])
    keys = tiny.W_E @ tiny.W_V[0, 2] @ tiny.W_O[0, 2] @ tiny.W_K[1, 1]
    term = (other @ tiny.W_Q[1, 1]) @ keys.T / 8**0.5
    assert table[2, 1, 2].item() == pytest.approx((term.diagonal().mean() - term.mean()).item(), rel=1e-3, abs=1e-4)


def test_a_shuffled_corner_is_that_of_tables_with_their_rows_in_another_order(tiny):
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    table, plain = induction.corner_table(tiny, order=order), induction.corner_table(tiny)
    OV = circuits.centred(circuits.ov_circuit(tiny, 1, 3)).AB[order]
    eigenvalues = torch.linalg.eigvals(OV.double())
    assert table[0, 3, 0].item() == pytest.approx((eigenvalues.sum().real / eigenvalues.abs().sum()).item(), abs=1e-3)
    term = (tiny.W_E @ tiny.W_Q[1, 3]) @ (tiny.W_E @ tiny.W_V[0, 0] @ tiny.W_O[0, 0] @ tiny.W_K[1, 3]).T / 8**0.5
    shuffled = term[order]
    assert table[0, 3, 2].item() == pytest.approx((shuffled.diagonal().mean() - term.mean()).item(), abs=1e-4)
    assert not torch.allclose(table, plain)
    torch.testing.assert_close(induction.corner_table(tiny, order=torch.arange(64)), plain)


def looking_at_itself(own):
    """A random model, some heads of whose first layer read positions alike as queries and as keys."""
    network = models.PaperModel(models.config(2, d_model=32, n_heads=4, n_ctx=64, d_vocab=23), 0)
    with torch.no_grad():
        network.tok_embed.weight.mul_(3)
        for head in own:
            same = torch.zeros(8, 32)
            same[torch.arange(8), torch.arange(0, 32, 4) + torch.arange(8) % 2] = 8.0
            for linear in (network.layers[0].attn.q, network.layers[0].attn.k):
                linear.weight[8 * head : 8 * head + 8] = same
    return models.bridge(network, name="own tokens")


@pytest.mark.parametrize("own", [[], [1], [0, 3]])
def test_the_effective_embedding_is_what_layer_1_reads_of_a_token_that_stands_alone(own):
    """A prompt of a single token: every head looks at nothing else, so leaving some out leaves exactly the formula."""
    model = looking_at_itself(own)
    assert [head for _, head in induction.own_token_heads(model)] == own
    assert all(0.5 < share <= 1 for share in induction.own_token_heads(model).values())
    rest = interventions.ablate(model, [(0, head) for head in range(4) if head not in own])
    alone = torch.arange(23)[:, None]
    with model.hooks(fwd_hooks=rest):
        stream = model.run_with_cache(alone)[1]["blocks.1.hook_in"]
    torch.testing.assert_close(induction.effective_embedding(model), stream[:, 0])


@pytest.mark.parametrize("name", ["two-layer", "small-seed-1", "small-seed-2"])
def test_queries_of_induction_heads_are_built_from_the_effective_embedding(name):
    model = models.load(name)
    rows = behaviour.repeated_tokens(model.cfg.d_vocab, 20, 3, 8, seed=7)
    heads = [head for _, head in induction.induction_heads(model)]

    def scores(stream):
        with model.hooks(fwd_hooks=interventions.feed(model, "q", stream)):
            return behaviour.prefix_matching_score(model.run_with_cache(rows)[1]["pattern", 1], 20)[heads]

    token, effective = scores(model.W_E[rows]), scores(induction.effective_embedding(model)[rows])
    assert (token < 0.35).all()
    assert (effective > token + 0.3).all()


def test_scores_at_many_lengths_expose_a_head_that_only_counts():
    def fixed(rows):
        pattern = torch.zeros(len(rows), 1, rows.shape[1], rows.shape[1])
        for query in range(rows.shape[1]):
            pattern[:, 0, query, max(query - 6, 0)] = 1
        return pattern

    assert induction.scores_at(fixed, 1000, [5, 7, 9])[:, 0].tolist() == [0, 1, 0]


def test_best_score_is_that_of_the_best_head(tiny, rows):
    cache = tiny.run_with_cache(rows)[1]
    every = torch.cat([behaviour.prefix_matching_score(cache["pattern", layer], 9) for layer in range(2)])
    assert induction.best_score(tiny, rows, 9) == pytest.approx(every.max().item())


def test_costs_are_differences_of_losses(tiny, rows):
    hooks = [interventions.ablate(tiny, [(0, 1)]), [], interventions.ablate(tiny, [(1, 0), (1, 3)])]
    found = induction.costs(tiny, rows, 9, hooks)
    assert not found[1].any()
    for i in (0, 2):
        losses = [
            behaviour.loss_per_position(tiny.run_with_hooks(rows, fwd_hooks=some)[:, :-1], rows)[:, 9:].mean(1)
            for some in (hooks[i], [])
        ]
        torch.testing.assert_close(found[i], losses[0] - losses[1], rtol=1e-4, atol=1e-5)


def test_six_ways_to_do_without_a_head(tiny, rows):
    inputs, others, head = rows[:, :-1], rows[:, :-1].flip(0), (0, 2)
    changes = induction.changes_of(tiny, inputs, others, head)
    assert list(changes) == ["deleted", "swapped", "frozen", "out of q", "out of k", "out of v"]
    run = {name: tiny.run_with_hooks(inputs, fwd_hooks=hooks) for name, hooks in changes.items()}
    expansion = paths.path_expansion(tiny, inputs)
    without = sum(path for name, path in expansion.items() if "0:2" not in name.split(" → "))
    torch.testing.assert_close(run["frozen"], without, rtol=1e-4, atol=1e-4)
    for name, hooks in {
        "deleted": interventions.ablate(tiny, [head]), "swapped": interventions.swap(tiny, [head], others),
        "out of k": interventions.unread(tiny, inputs, head, "k"),
    }.items():  # fmt: skip
        torch.testing.assert_close(run[name], tiny.run_with_hooks(inputs, fwd_hooks=hooks))


def test_steering_by_hand(tiny, rows):
    attended, expected = induction.steered(tiny, rows, 9, (0, 1), later=[0, 2], steps=2)
    with tiny.hooks(fwd_hooks=interventions.look_back(tiny, (0, 1), 2)):
        logits, cache = tiny.run_with_cache(rows)
    paid, log_probs = [], logits.log_softmax(-1)
    for query in range(13, 16):  # of the second copy, at 10 to 18
        assert torch.equal(rows[:, query], rows[:, query - 9])
        paid.append([cache["pattern", 1][:, [0, 2], query, query - 9 + 1].mean(), log_probs[:, query]])
    torch.testing.assert_close(attended[1, 0], torch.stack([x for x, _ in paid]).mean())
    named = [row[0, rows[0, query + 1]] for query, (_, row) in zip(range(13, 16), paid)]
    one = induction.steered(tiny, rows[:1], 9, (0, 1), later=[0, 2], steps=2)[1]
    torch.testing.assert_close(one[1, 0], torch.stack(named).mean())
    assert expected.shape == (2, 2)


def test_attention_to_places_one_by_one(tiny):
    tokens, both, one = behaviour.two_matches(64, 6, gap=5)
    found = induction.attention_to(tiny, [], [1, 3], tokens, (both, one))
    pattern = tiny.run_with_cache(tokens)[1]["pattern", 1]
    for row in range(6):
        for place, name in ((both, 0), (one, 1)):
            by_hand = (pattern[row, 1, -1, place[row]] + pattern[row, 3, -1, place[row]]) / 2
            torch.testing.assert_close(found[name, row], by_hand)


def test_reading_against_the_model_without_the_head(two_layer):
    text, head = "def f(x):\n    return x + x", (1, 2)
    pattern, weighted, effect = induction.reading(two_layer, head, text)
    tokens = two_layer.to_tokens(text)
    gone = two_layer.run_with_hooks(tokens, fwd_hooks=interventions.ablate(two_layer, [head]))
    given = (two_layer(tokens) - gone)[0]
    following = [given[i, tokens[0, i + 1]] - given[i].mean() for i in range(tokens.shape[1] - 1)]
    torch.testing.assert_close(effect[:-1], torch.stack(following), rtol=1e-3, atol=1e-3)
    assert effect[-1] == 0
    resid = two_layer.run_with_cache(tokens)[1]["resid_pre", 1][0]
    sent = torch.stack([(x @ two_layer.OV[head].AB).norm() for x in resid])
    torch.testing.assert_close(weighted, pattern * sent, rtol=1e-3, atol=1e-4)


def test_losses_with_heads_deleted(tiny, rows):
    torch.testing.assert_close(induction.losses(tiny, rows), behaviour.loss_per_position(tiny(rows[:, :-1]), rows))
    last = [(1, 0), (1, 2)]  # no head reads the last layer, so freezing changes nothing
    torch.testing.assert_close(induction.losses(tiny, rows, last), induction.losses(tiny, rows, last, frozen=True))
    first = [(0, 0)]
    loose, frozen = (induction.losses(tiny, rows, first, frozen=frozen) for frozen in (False, True))
    assert not torch.allclose(loose, frozen, atol=1e-3)
    expansion = paths.path_expansion(tiny, rows[:, :-1])
    without = sum(path for name, path in expansion.items() if "0:0" not in name.split(" → "))
    torch.testing.assert_close(frozen, behaviour.loss_per_position(without, rows), rtol=1e-4, atol=1e-4)


def test_late_minus_early_and_its_error():
    falling = torch.linspace(8, 2, 256).repeat(5, 1) + torch.arange(5)[:, None]
    gap = induction.late_minus_early(falling)
    torch.testing.assert_close(gap, falling[:, 200:256].mean(1) - falling[:, 30:60].mean(1))
    values = torch.tensor([1.0, 2.0, 4.0])
    error = (((values - values.mean()) ** 2).sum() / 2 / 3) ** 0.5
    assert induction.mean_and_error(values) == f"+2.33 ± {error:.2f}"
    assert induction.mean_and_error(torch.full((2,), -1e-9)) == "+0.00 ± 0.00"


@pytest.mark.parametrize("name", ["two-layer", "small-seed-1", "small-seed-2"])
def test_each_trained_model_has_induction_heads_by_behaviour_weights_and_damage(name):
    model = models.load(name)
    rows = behaviour.repeated_tokens(model.cfg.d_vocab, 20, 3, 16, seed=5)
    cache = model.run_with_cache(rows)[1]
    previous = behaviour.previous_token_score(cache["pattern", 0]).argmax().item()
    found = (behaviour.prefix_matching_score(cache["pattern", 1], 20) > 0.5).nonzero()[:, 0].tolist()
    table = induction.corner_table(model)
    gains = table[..., 2].masked_fill(table[..., :2].amin(-1) < 0.5, 0)
    largest = gains.flatten().topk(len(found) + 1)
    assert sorted(divmod(i, gains.shape[1]) for i in largest.indices[:-1].tolist()) == [(previous, i) for i in found]
    assert largest.values[-2] > 1.5 * largest.values[-1]
    assert found
    deleted = [interventions.ablate(model, [(1, head)]) for head in range(model.cfg.n_heads)]
    assert (induction.costs(model, rows, 20, deleted).mean(1) > 1).nonzero()[:, 0].tolist() == found
    out = [interventions.unread(model, rows[:, :-1], (0, previous), which) for which in "qkv"]
    q, k, v = induction.costs(model, rows, 20, out).mean(1).tolist()
    assert k > 2 * q
    assert k > 5 * abs(v)
