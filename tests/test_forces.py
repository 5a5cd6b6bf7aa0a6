"""Heads as forces and cosines through layers, against loops over pairs of tokens."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from transformer_lens import TransformerBridge, TransformerBridgeConfig

from walkthrough import behaviour, circuits, models
from walkthrough.beyond import cosines, forces, outcomes, predicted, reach, shared_model, steps
from walkthrough.figures import forces as figures
from walkthrough.models import config
from walkthrough.training import forward, live, shared

NOISE = torch.Generator().manual_seed(0)


def noise(*shape):
    return torch.randn(*shape, generator=NOISE)


def cosine(a, b):
    return (a @ b / a.norm() / b.norm()).item()


def slow_mean_cosine(x):
    n = len(x)
    return sum(cosine(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))


@pytest.fixture(scope="module")
def tokens():
    return behaviour.repeated_tokens(64, 5, 2, batch=3, seed=2)


@pytest.fixture(scope="module", params=["paper", "mlp", "layernorm", "shared"])
def model(request):
    shape = {"n_layers": 2, "d_model": 32, "n_heads": 4, "n_ctx": 32, "d_vocab": 64}
    if request.param == "shared":
        return models.bridge(shared.SharedWeights(config(**shape), 3).written_out(), None, "shared")
    kinds = {"paper": {}, "mlp": {"d_mlp": 48}, "layernorm": {"layernorm": True}}
    return models.bridge(models.network(config(**shape, **kinds[request.param]), 3), None, request.param)


def test_the_mean_cosine_is_that_of_all_pairs():
    x = noise(2, 5, 7)
    expected = [slow_mean_cosine(text) for text in x]
    assert cosines.mean_cosine(x).tolist() == pytest.approx(expected, abs=1e-6)
    assert cosines.mean_cosine(torch.ones(3, 4)).item() == pytest.approx(1)


def test_a_single_token_and_a_vector_of_no_length_are_refused():
    with pytest.raises(ValueError, match="this text has 1"):
        cosines.mean_cosine(noise(1, 4))
    with pytest.raises(ValueError, match="no direction"):
        cosines.mean_cosine(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="only one"):
        cosines.split_by_other_texts(noise(1, 3, 4))


def test_the_parts_of_a_mean_cosine_are_those_of_all_pairs():
    x, direction = noise(5, 7) + 1, torch.nn.functional.normalize(noise(7), dim=0)
    common, rest = cosines.split_cosine(x, direction)
    units = [row / row.norm() for row in x]
    pairs = [(a, b) for a in range(5) for b in range(5) if a != b]
    expected = sum((units[a] @ direction) * (units[b] @ direction) for a, b in pairs) / 20
    assert common.item() == pytest.approx(expected.item(), abs=1e-6)
    left = [u - (u @ direction) * direction for u in units]
    assert rest.item() == pytest.approx(sum(left[a] @ left[b] for a, b in pairs).item() / 20, abs=1e-6)


def test_each_text_is_split_by_what_the_others_have_in_common():
    x = noise(3, 6, 8) + 0.5
    units = x / x.norm(dim=-1, keepdim=True)
    for text in range(3):
        others = sum(units[other].sum(0) for other in range(3) if other != text)
        expected = cosines.split_cosine(x[text], others / others.norm())
        found = [part[text] for part in cosines.split_by_other_texts(x)]
        torch.testing.assert_close(torch.stack(found), torch.stack(expected))


def test_streams_are_those_of_the_run_and_sources_add_up_to_the_rise(model, tokens):
    found, cache = cosines.streams_by_part(model, tokens), model.run_with_cache(tokens)[1]
    torch.testing.assert_close(found["embedding"], cache["resid_pre", 0][:, 1:])
    last = "MLP 1" if model.cfg.d_mlp and not model.cfg.attn_only else "attention 1"
    assert list(found)[-1] == last
    torch.testing.assert_close(found[last], cache["resid_post", 1][:, 1:])
    rise = cosines.rise_by_source(model, tokens)
    for layer in range(2):
        ends = (cosines.mean_cosine(cache[name, layer][:, 1:]) for name in ("resid_pre", "resid_post"))
        before, after = ends
        torch.testing.assert_close(sum(rise.values())[layer], after - before, atol=1e-5, rtol=0)


def test_a_source_is_what_heads_carry_from_there(tokens):
    """With every key's message added one at a time, in loops."""
    model = models.tiny(1, seed=2)
    rise, cache = cosines.rise_by_source(model, tokens), model.run_with_cache(tokens)[1]
    x, text = cache["resid_pre", 0][0], 0
    from_bos, from_own = x.clone(), torch.zeros_like(x)
    for i in range(len(x)):
        for head in range(4):
            OV = model.W_V[0, head] @ model.W_O[0, head]
            attention = cache["pattern", 0][text, head, i]
            from_own[i] += attention[i] * x[i] @ OV
            from_bos[i] += attention[0] * x[0] @ OV if i else 0
    first = slow_mean_cosine(from_bos[1:]) - slow_mean_cosine(x[1:])
    assert rise["from <BOS>"][0, text].item() == pytest.approx(first, abs=1e-5)
    second = slow_mean_cosine((from_bos + from_own)[1:]) - slow_mean_cosine(from_bos[1:])
    assert rise["from the token itself"][0, text].item() == pytest.approx(second, abs=1e-5)


def test_a_pull_is_the_cosine_of_the_force_with_the_way_to_the_sender():
    x, moved = noise(5, 6), noise(5, 6)
    found = forces.pull(moved, x)
    for i in range(5):
        for j in range(5):
            u = x[i] / x[i].norm()
            force, way = (v - (v @ u) * u for v in (moved[j], x[j]))
            assert found[i, j].item() == pytest.approx(cosine(force, way) if i != j else 0, abs=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_identity_pulls_straight_towards_and_its_opposite_straight_away(sign):
    x = noise(6, 9)
    found = forces.pull(sign * x, x)
    assert found[~torch.eye(6, dtype=bool)].tolist() == pytest.approx([sign] * 30, abs=1e-4)
    attention = torch.softmax(noise(6, 6), -1)
    assert forces.mean_pull(attention, found).item() == pytest.approx(sign, abs=1e-4)


def test_tokens_of_different_texts_are_compared_pair_by_pair():
    x = noise(3, 4, 6) + 0.3
    pairs = [cosine(x[a, i], x[b, j]) for a in range(3) for b in range(3) if a != b for i in range(4) for j in range(4)]
    assert cosines.cosine_between_texts(x).item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    with pytest.raises(ValueError, match="only one text"):
        cosines.cosine_between_texts(x[:1])


def test_a_force_is_the_sum_of_three_parts_at_right_angles():
    for _ in range(5):
        force, token, sender = noise(3, 7)
        along, towards, sideways = forces.force_in_three(force, token, sender)
        torch.testing.assert_close(along + towards + sideways, force)
        plane = torch.linalg.qr(torch.stack([token, sender], 1)).Q  # the second column is the way, up to its sign
        torch.testing.assert_close(along, plane[:, 0] * (force @ plane[:, 0]), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(towards, plane[:, 1] * (force @ plane[:, 1]), atol=1e-5, rtol=1e-4)
        pulled = forces.pull(torch.stack([force, force]), torch.stack([token, sender]))[0, 1].item()
        on_sphere = (force - along).norm().item()
        assert pulled == pytest.approx(
            math.copysign(towards.norm().item(), (towards @ sender).item()) / on_sphere, abs=1e-5
        )


@pytest.mark.parametrize("factor", [3, -0.7, 0])
def test_there_is_no_way_to_a_sender_straight_above_or_below_or_nowhere(factor):
    force, token = noise(2, 7)
    along, towards, sideways = forces.force_in_three(force, token, factor * token)
    assert towards.tolist() == [0] * 7
    assert (sideways @ token).item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(along + sideways, force)


def test_the_mean_pull_counts_each_pair_by_its_attention_but_not_bos_nor_itself():
    attention, pulls, total, weight = torch.softmax(noise(4, 4), -1), noise(4, 4), 0, 0
    for i in range(4):
        for j in range(1, 4):
            if i != j:
                total, weight = total + attention[i, j] * pulls[i, j], weight + attention[i, j]
    assert forces.mean_pull(attention, pulls).item() == pytest.approx((total / weight).item(), abs=1e-6)


def test_the_shares_of_a_force_are_those_of_its_three_parts():
    attention, moved, x, parts = torch.softmax(noise(5, 5), -1), noise(5, 6), noise(5, 6), torch.zeros(3)
    for i in range(1, 5):
        for j in range(1, 5):
            if i != j:
                force, u = attention[i, j] * moved[j], x[i] / x[i].norm()
                way = x[j] - (x[j] @ u) * u
                way = way / way.norm()
                radial, towards = (force @ u) * u, (force @ way) * way
                parts += torch.stack([part @ part for part in (radial, towards, force - radial - towards)])
    assert forces.force_shares(attention, moved, x) == pytest.approx((parts / parts.sum()).tolist(), abs=1e-5)
    assert forces.force_shares(attention, x, x)[2] == pytest.approx(0, abs=1e-5)


def test_a_positive_kernel_has_positivity_one_and_an_antisymmetric_one_no_symmetric_part():
    W = noise(8, 3)
    assert forces.kernel_parts(W, W) == pytest.approx((1, 1), abs=1e-6)
    assert forces.kernel_parts(W, -W) == pytest.approx((-1, 1), abs=1e-6)
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert forces.kernel_parts(torch.eye(2), turn)[1] == pytest.approx(0, abs=1e-6)


def test_the_parts_of_a_kernel_are_those_of_its_whole_matrix():
    W_Q, W_K = noise(9, 3), noise(9, 3)
    kernel = (W_Q @ W_K.T).double()
    even = (kernel + kernel.T) / 2
    values = torch.linalg.eigvalsh(even)
    expected = (values.sum() / values.abs().sum()).item(), (even.square().sum() / kernel.square().sum()).item()
    assert forces.kernel_parts(W_Q, W_K) == pytest.approx(expected, abs=1e-5)


def test_like_gain_is_a_mean_over_pairs():
    x, W_Q, W_K = noise(4, 6), noise(6, 3), noise(6, 3)
    score = [[(x[i] @ W_Q @ (x[j] @ W_K) / math.sqrt(3)).item() for j in range(4)] for i in range(4)]
    own = sum(score[i][i] for i in range(4)) / 4
    others = sum(score[i][j] for i in range(4) for j in range(4) if i != j) / 12
    assert forces.like_gain(x, W_Q, W_K) == pytest.approx(own - others, abs=1e-5)


def test_the_table_adds_each_heads_output_alone(model, tokens):
    table, cache = forces.force_table(model, tokens), model.run_with_cache(tokens)[1]
    assert {key: tuple(values.shape) for key, values in table.items()} == dict.fromkeys(table, (2, 4))
    for layer, head in ((0, 1), (1, 3)):
        x = cache["resid_pre", layer]
        after = x + cache["z", layer][:, :, head] @ model.W_O[layer, head]
        changes = [slow_mean_cosine(after[t, 1:]) - slow_mean_cosine(x[t, 1:]) for t in range(3)]
        assert table["change"][layer, head].item() == pytest.approx(sum(changes) / 3, abs=1e-5)
        W_V = model.W_V[layer, head]
        if model.cfg.normalization_type:
            W_V = torch.diag(model.blocks[layer].ln1.weight) @ W_V
        values = torch.linalg.eigvals((W_V @ model.W_O[layer, head]).double())
        expected = (values.sum() / values.abs().sum()).real.item()
        assert table["positivity"][layer, head].item() == pytest.approx(expected, abs=1e-3)


def test_what_a_head_reads_is_what_its_queries_are_made_of(model, tokens):
    cache = model.run_with_cache(tokens)[1]
    read = forces.heads_read(model, cache, 1)
    torch.testing.assert_close(read @ model.W_V[1, 2], cache["v", 1][:, :, 2], atol=1e-5, rtol=1e-4)


def test_the_reach_counts_sizes_of_forces_by_distance():
    attention, moved, shares = torch.softmax(noise(1, 4, 4), -1).tril(), noise(1, 4, 5), [0.0] * 4
    for i in (2, 3):
        for j in range(i + 1):
            shares[i - j] += (attention[0, i, j] * moved[0, j].norm()).item()
    found = forces.force_by_distance(attention, moved, 2)
    assert found.tolist() == pytest.approx([share / sum(shares) for share in shares], abs=1e-6)


def test_equiangular_steps_follow_particles_at_equal_angles():
    """Attention of four tokens at equal angles in five dimensions, moved one by one in small steps."""
    n, beta, start, step = 4, 2.0, 0.1, 0.4
    gram = np.full((n, n), start) + (1 - start) * np.eye(n)
    x = np.linalg.cholesky(gram)

    def speed(_, flat):
        points = flat.reshape(n, n)
        rates = []
        for i in range(n):
            weights = np.exp(beta * points @ points[i])
            goal = weights @ points / weights.sum()
            rates.append(goal - (goal @ points[i]) * points[i])
        return np.concatenate(rates)

    moved = solve_ivp(speed, (0, 3 * step), x.flatten(), t_eval=[0, step, 2 * step, 3 * step], rtol=1e-9, atol=1e-11)
    expected = [points.reshape(n, n)[0] @ points.reshape(n, n)[1] for points in moved.y.T]
    assert steps.equiangular_steps(start, n, beta, step, 3).tolist() == pytest.approx(expected, abs=1e-5)


def test_the_fit_finds_what_made_the_curve_and_an_error_elsewhere():
    curve = steps.equiangular_steps(0.05, 100, 3.0, 0.3, 12)
    assert steps.equiangular_error(curve, 100, fitted=7) < 5e-3
    bent = np.concatenate([curve[:7], 1.7 * curve[7:]])
    assert steps.equiangular_error(bent, 100, fitted=7) > 0.05


def test_shared_layers_are_one_and_written_out_they_give_the_same_numbers(tokens):
    network = shared.SharedWeights(config(3, d_model=32, n_heads=4, n_ctx=32, d_vocab=64), 1)
    assert len({id(block) for block in network.layers}) == 1
    slow = torch.nn.functional.rms_norm(network.tok_embed(tokens), (32,))
    for _ in range(3):
        slow = slow + network.layers[0].attn(slow)[0]
        slow = slow / slow.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(network(tokens), network.head(slow), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(forward.final_stream(network, tokens), slow, atol=1e-5, rtol=1e-4)
    bridge = models.bridge(network.written_out())
    torch.testing.assert_close(bridge(tokens), network(tokens), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bridge.W_V[0], bridge.W_V[2])


def test_a_layer_applied_as_often_as_in_training_is_the_model_and_more_often_it_clusters():
    tokens, network = shared_model.kept_texts("small")[:3], shared_model.shared_network()
    found, losses = steps.applied_further(network, tokens, [0, 12, 100])
    whole = cosines.cosines_by_part(shared_model.load_shared(), tokens)
    torch.testing.assert_close(found[:2], whole[[0, 12]], atol=1e-4, rtol=0)
    expected = behaviour.loss_per_position(network(tokens[:, :-1]), tokens).mean()
    assert losses[1].item() == pytest.approx(expected.item(), abs=1e-4)
    assert found[2].min() > 0.9
    assert losses[2] > losses[1] + 1


def test_shuffled_texts_hold_the_same_tokens_and_begin_with_bos():
    texts = shared_model.kept_texts()
    mixed = shared_model.shuffled_texts(texts, seed=4)
    assert torch.equal(mixed.sort(1).values, texts.sort(1).values)
    assert not torch.equal(mixed, texts)
    assert mixed[:, 0].tolist() == texts[:, 0].tolist() == [0] * 8
    with pytest.raises(ValueError, match="no texts of kind 'other'"):
        shared_model.kept_texts("other")


def test_moves_are_changes_of_cosines_pair_by_pair(tokens):
    model = models.tiny(2, seed=4)
    cache = model.run_with_cache(tokens)[1]
    found = reach.head_moves(model, tokens, (1, 2))
    x, OV = cache["resid_pre", 1][0], model.W_V[1, 2] @ model.W_O[1, 2]
    added = cache["pattern", 1][0, 2] @ x @ OV
    gain = {(i, j): cosine(x[i] + added[i], x[j]) - cosine(x[i], x[j]) for i in range(1, 11) for j in range(1, i)}
    previous = [value for (i, j), value in gain.items() if j == i - 1]
    others = [value for (i, j), value in gain.items() if j < i - 1]
    assert found["to the previous"][0].item() == pytest.approx(sum(previous) / len(previous), abs=1e-5)
    assert found["to earlier ones"][0].item() == pytest.approx(sum(others) / len(others), abs=1e-5)
    message = [cosine(added[i], x[i - 1] @ OV) for i in range(2, 11)]
    assert found["message of the previous"][0].item() == pytest.approx(sum(message) / 9, abs=1e-5)
    vector = [cosine(added[i], x[i - 1]) for i in range(2, 11)]
    assert found["vector of the previous"][0].item() == pytest.approx(sum(vector) / 9, abs=1e-5)


def test_heads_are_found_by_what_they_do(two_layer):
    cache = two_layer.run_with_cache(behaviour.repeated_tokens(4096, 20, 2, 4, seed=9))[1]
    layer, head = reach.previous_token_head(two_layer, shared_model.kept_texts()[:2])
    assert cache["pattern", layer][:, head].diagonal(offset=-1, dim1=1, dim2=2).mean() > 0.9
    layer, head = reach.induction_head(two_layer)
    pattern = cache["pattern", layer][:, head]
    assert np.mean([pattern[:, i, i - 19].mean().item() for i in range(22, 41)]) > 0.5


def test_the_reach_of_a_mixed_copy_is_another(two_layer):
    head = reach.induction_head(two_layer)
    straight, mixed = (reach.force_reach(two_layer, head, 15, mixed) for mixed in (False, True))
    assert straight.sum().item() == pytest.approx(1, abs=1e-5)
    assert straight.argmax() == 14
    assert mixed[14] < straight[14] / 2


def test_a_rank_correlation_has_the_spread_of_heads_drawn_again():
    a = torch.arange(30.0)
    value, error = outcomes.rank_correlation(a, a**3)
    assert (value, error) == pytest.approx((1, 0), abs=1e-9)
    value, error = outcomes.rank_correlation(a, noise(30))
    assert abs(value) < 0.7
    assert 0.05 < error < 0.4


def test_deleting_a_head_takes_out_what_it_adds(tokens):
    model = models.tiny(1, seed=5)
    cache = model.run_with_cache(tokens)[1]
    x = cache["resid_post", 0] - cache["z", 0][:, :, 2] @ model.W_O[0, 2]
    for text, change in enumerate(outcomes.rise_without(model, tokens, (0, 2)).tolist()):
        expected = slow_mean_cosine(x[text, 1:]) - slow_mean_cosine(cache["resid_post", 0][text, 1:])
        assert change == pytest.approx(expected, abs=1e-5)


def test_bounds_hold_on_their_own_side():
    low = predicted.Prediction("a", "b", "c", at_least=0.5)
    high = predicted.Prediction("a", "b", "c", at_most=-0.1)
    assert [low.holds(0.6), low.holds(0.4), high.holds(-0.2), high.holds(0.0)] == [True, False, True, False]
    assert (low.bound, high.bound) == ("at least 0.5", "at most -0.1")


def test_the_shipped_numbers_of_trained_models_are_those_measured_again():
    again = outcomes.measure_predictions(outcomes.any_model, outcomes.as_they_are)
    rows = {row.name: row for row in outcomes.predictions()}
    assert list(rows) == [p.name for p in predicted.PREDICTIONS]
    for name, (value, _) in again.items():
        assert rows[name].measured == pytest.approx(value, abs=0.02), name


def test_outcomes_say_what_the_numbers_say():
    for row, p in zip(outcomes.predictions(), predicted.PREDICTIONS):
        near = row.error is not None and abs(row.measured - p.limit) < row.error
        assert row.outcome.startswith("undecided") == near
        assert near or row.outcome.startswith("holds") == (
            row.measured >= p.limit if p.at_most is None else row.measured <= p.limit
        )
        assert row.random_range[0] <= row.random_weights <= row.random_range[1]


def test_the_card_of_the_shared_model_tells_of_its_weights(tmp_path):
    card, model = shared_model.shared_card(), shared_model.load_shared()
    assert model.cfg.n_layers == card["config"]["n_layers"] == 12
    assert torch.equal(model.W_Q[0], model.W_Q[11])
    rows = shared_model.kept_texts("small")
    losses = behaviour.loss_per_position(model(rows[:, :-1]), rows).mean().item()
    assert abs(losses - card["measured"]["held_out_loss"]) < 0.6
    assert card["measured"]["held_out_loss"] < card["random_weights"]["held_out_loss"] - 2
    for file in shared_model.FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "shared-weights.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match="not those of the card"):
        shared_model.load_shared(tmp_path)


def test_training_shared_weights_goes_on_where_it_was_stopped_and_writes_all_files(tmp_path, monkeypatch):
    text = live.Text(
        shared_model.models.load_tokenizer(shared_model.FOLDER).backend_tokenizer,
        shared_model.kept_texts("small").repeat(4, 1)[:, :25].numpy().astype(np.int16),
        shared_model.kept_texts("small")[:2, :25],
    )
    small = {"d_model": 16, "n_heads": 2, "n_ctx": 24, "steps": 4, "warmup": 2}
    recipe = dataclasses.replace(shared.SHARED, n_layers=3, **small)
    monkeypatch.setattr(shared, "EVERY", 2)
    run = shared.train(recipe, text, tmp_path / "shared")
    assert shared.train(recipe, text, tmp_path / "shared").step == 4
    assert len({id(block) for block in run.model.layers}) == 1
    control = shared.train(dataclasses.replace(live.LIVE, **small), text, tmp_path / "control")
    shared.write_shared(run, control, tmp_path)
    tokens = text.held_out[:, :-1]
    written = shared_model.load_shared(tmp_path)
    torch.testing.assert_close(written(tokens), run.model(tokens), atol=2e-2, rtol=1e-2)
    assert shared_model.kept_texts("course", tmp_path).shape == (8, 24)


@pytest.fixture
def drawn():
    yield
    plt.close("all")


@pytest.mark.usefixtures("drawn")
def test_figures_show_all_that_they_are_given():
    texts, part = noise(3, 5), noise(3, 5)
    one, two = figures.through_layers({"a": texts, "b": texts}, {"a": part, "b": part}, {"a": "xyz", "b": "xyz"})
    assert [len(ax.lines) for ax in (one, two)] == [7, 7]
    assert one.lines[5].get_ydata().tolist() == pytest.approx(texts.mean(1).tolist(), abs=1e-6)
    ax = figures.heads_against(noise(6), noise(6), torch.tensor([0, 0, 1, 2, 2, 2]), "abc", labels=("x", "y"))
    assert [len(line.get_xdata()) for line in ax.lines[:3]] == [2, 1, 3]
    shares = torch.tensor([[0.1, 0.2], [0.3, 0.3], [0.6, 0.5]])
    ax = figures.force_parts(*shares, "ab")
    assert max(bar.get_x() + bar.get_width() for bar in ax.patches) == pytest.approx(1)
    ax = figures.reach({"a": shares[0], "b": shares[1]}, marks={"here": 1})
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [shares[0].tolist(), shares[1].tolist()]
    ax = figures.step_curves({"a": shares[0], "b": shares[1]}, {"b": shares[2]})
    assert [line.get_ydata().tolist() for line in ax.lines[:3]] == [row.tolist() for row in shares]
    left, right = figures.times_applied([1, 10], {"a": shares[0, :2]}, {"a": shares[1, :2]}, trained=5)
    assert [ax.lines[0].get_ydata().tolist() for ax in (left, right)] == [shares[0].tolist(), shares[1].tolist()]
    ax = figures.step_curves({"a": shares[0], "b": shares[1]}, {"b": shares[2]})
    assert "equation" in [text.get_text() for text in ax.get_legend().get_texts()][-1]


def test_the_copying_score_is_that_of_the_circuit_and_own_the_diagonal(tokens):
    model = models.tiny(1, seed=6)
    table, pattern = forces.force_table(model, tokens), model.run_with_cache(tokens)[1]["pattern", 0]
    for head in range(4):
        expected = circuits.eigenvalue_positivity(circuits.ov_circuit(model, 0, head)).item()
        assert table["copying"][0, head].item() == pytest.approx(expected, abs=1e-4)
        own = np.mean([pattern[text, head, i, i].item() for text in range(3) for i in range(1, 11)])
        assert table["own"][0, head].item() == pytest.approx(own, abs=1e-5)


def test_heads_that_share_keys_and_values_are_taken_with_theirs(tokens):
    """As released models have them: RMSNorm, rotary positions, an MLP with gates, two queries for each key."""
    shape = {"n_layers": 2, "d_model": 32, "n_heads": 4, "d_head": 8, "n_ctx": 32, "d_vocab": 64, "d_mlp": 48}
    kind = {"normalization_type": "RMS", "positional_embedding_type": "rotary", "gated_mlp": True, "act_fn": "silu"}
    cfg = TransformerBridgeConfig(
        **shape, **kind, n_key_value_heads=2, architecture="TransformerLensNative", device="cpu", seed=1
    )
    model = TransformerBridge.boot_native(cfg)
    cache = model.run_with_cache(tokens)[1]
    for layer, head in ((0, 3), (1, 0)):
        added = cache["pattern", layer][:, head] @ forces.messages(model, cache, layer, head)
        torch.testing.assert_close(added, cache["z", layer][:, :, head] @ model.W_O[layer, head], atol=1e-5, rtol=1e-4)
        W_V = forces.weights_of(model, layer, head)[2]
        scale = cache["resid_pre", layer].square().mean(-1, keepdim=True).sqrt()
        values = cache["resid_pre", layer] / scale @ W_V
        torch.testing.assert_close(values, cache["v", layer][:, :, head // 2], atol=1e-3, rtol=1e-3)
    rise, found = cosines.rise_by_source(model, tokens), cosines.cosines_by_part(model, tokens)
    torch.testing.assert_close(sum(rise.values()).sum(0), found[-1] - found[0], atol=1e-5, rtol=0)
    assert {tuple(values.shape) for values in forces.force_table(model, tokens).values()} == {(2, 4)}
