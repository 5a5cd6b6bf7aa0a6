"""Smaller maps and networks: the algebra by slow roads, the ranks by hand, and what ships against its record."""

import math

import pytest
import torch

from walkthrough import behaviour, models
from walkthrough.beyond import (
    smaller,
    smaller_healing,
    smaller_importance,
    smaller_measured,
    smaller_network,
    smaller_runs,
    smaller_speed,
)  # fmt: skip
from walkthrough.beyond.shared_model import kept_texts
from walkthrough.beyond.smaller_network import load_small, save_small, small_network
from walkthrough.beyond.smaller_speed import FastNetwork, fewest_seconds, tokens_per_second, unpruned


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    return models.tiny(2)


@pytest.fixture(scope="module")
def rows(model):
    return torch.cat(
        [torch.zeros(6, 1), torch.randint(1, 64, (6, 32), generator=torch.Generator().manual_seed(3))], 1
    ).long()


def some_ranks(model):
    """Ranks of all kinds, the same for no two heads of a layer."""
    n = range(model.cfg.n_heads)
    return {(k, la, h): 2 + 2 * ((h + la + (k == "QK")) % 4) for k in ("QK", "OV") for la in range(2) for h in n}


def correlated(n, d, seed):
    """Vectors with a strong direction and an offset."""
    return random(n, d, seed=seed) @ random(d, d, seed=seed + 1) + 3 * random(d, seed=seed + 2)


def test_the_weighted_cut_is_the_svd_in_white_coordinates_and_beats_the_plain_one_on_what_is_read():
    left, right, x, y = random(12, 6), random(6, 12, seed=1), correlated(400, 12, 2), correlated(400, 12, 5)
    read, write = (z.T.double() @ z.double() / len(z) for z in (x, y))

    def root(moment):
        values, vectors = torch.linalg.eigh(moment)
        return vectors * values.sqrt() @ vectors.T

    error = lambda new: (x @ (left @ right - new) @ y.T).square().mean().item()  # over all pairs of an x and a y
    S = torch.linalg.svdvals(root(read) @ (left @ right).double() @ root(write))
    for keep in (1, 3, 5):
        new_left, new_right = smaller.weighted_cut(left, right, keep, read, write)
        assert new_left.shape == (12, keep)
        assert math.isclose(error(new_left @ new_right), S[keep:].square().sum().item(), rel_tol=1e-3)
        U, s, Vh = torch.linalg.svd(left @ right)
        plain = U[:, :keep] * s[:keep] @ Vh[:keep]
        torch.testing.assert_close(torch.mm(*smaller.weighted_cut(left, right, keep)), plain, rtol=1e-4, atol=1e-4)
        assert error(new_left @ new_right) < error(plain)
    torch.testing.assert_close(
        torch.mm(*smaller.weighted_cut(left, right, 6, read)), left @ right, rtol=1e-4, atol=1e-4
    )
    shares = smaller.rank_importances(left, right, read, write)
    torch.testing.assert_close(shares, (S.square() / S.square().sum()).float()[:6], rtol=1e-3, atol=1e-6)
    with pytest.raises(ValueError, match="has rank 6"):
        smaller.weighted_cut(left, right, 7)


def test_moments_are_what_the_circuits_read(model, rows):
    tokens = rows[:, :-1]
    found = smaller.read_moments(model, tokens)
    _, cache = model.run_with_cache(tokens)
    for layer, head in ((0, 1), (1, 3)):
        QK = model.W_Q[layer, head] @ model.W_K[layer, head].T / math.sqrt(8)
        placed = cache["resid_pre", layer] + model.W_pos[:32]
        scores = torch.einsum("bqi,ij,ckj->bqck", placed, QK, placed)
        centred = (scores - scores.mean((2, 3), keepdim=True)).square().mean()
        read, keys = found["QK", layer, head]
        assert math.isclose(torch.trace(read @ QK.double() @ keys @ QK.double().T), centred, rel_tol=1e-4)
        read, write = found["OV", layer, head]
        written = cache["z", layer][:, :, head] @ model.W_O[layer, head]
        OV = (model.W_V[layer, head] @ model.W_O[layer, head]).double()
        assert math.isclose(torch.trace(OV.T @ read @ OV), written.square().sum(-1).mean(), rel_tol=1e-4)
        assert write is None


def with_products(model, ranks, moments):
    """The slow road: whole heads of a bridge, their matrices replaced by cut ones beside zeros."""
    changed = models.tiny(2)
    for (kind, layer, head), rank in ranks.items():
        left, right = smaller.weighted_cut(
            *smaller.circuit_factors(model, (kind, layer, head)), rank, *moments[kind, layer, head]
        )
        left, right = torch.nn.functional.pad(left, (0, 8 - rank)), torch.nn.functional.pad(right, (0, 0, 0, 8 - rank))
        heads, span = changed.blocks[layer].attn, slice(8 * head, 8 * head + 8)
        if kind == "QK":
            heads.q.weight.data[span], heads.k.weight.data[span] = left.T * math.sqrt(8), right
        else:
            heads.v.weight.data[span], heads.o.weight.data[:, span] = left.T, right.T
    return changed


def test_the_small_network_is_the_algebra_to_float_precision(model, rows):
    tokens = rows[:, :-1]
    torch.testing.assert_close(small_network(model)(tokens), model(tokens))
    moments, ranks = smaller.read_moments(model, tokens), some_ranks(model)
    net = small_network(model, ranks, moments=moments)
    torch.testing.assert_close(net(tokens), with_products(model, ranks, moments)(tokens), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(FastNetwork(net)(tokens), net(tokens), rtol=1e-4, atol=1e-5)
    assert net.attention_numbers() == 2 * 32 * sum(ranks.values())
    losses = behaviour.loss_per_position(net(tokens), rows).mean(1)
    torch.testing.assert_close(net.window_losses(rows, batch=4), losses)
    with pytest.raises(ValueError, match="33 tokens long"):
        net(torch.zeros(1, 33, dtype=torch.long))
    with pytest.raises(ValueError, match=r"no circuit \('QK', 2, 0\): its layers are 0 to 1"):
        small_network(model, {("QK", 2, 0): 4})
    with pytest.raises(ValueError, match="take 'QK' or 'OV'"):
        smaller.circuit_factors(model, ("VO", 0, 0))
    with_mlp = models.bridge(models.network(models.config(1, 16, 2, 8, 20, d_mlp=8)))
    for refuses in (small_network, lambda other: smaller.read_moments(other, tokens % 20)):
        with pytest.raises(ValueError, match=r"leaves out what .* has .*: use a model of attention alone"):
            refuses(with_mlp)


def test_a_head_that_looks_back_and_one_that_is_dropped(model, rows):
    tokens = rows[:, :-1]
    back = torch.eye(32).roll(-1, 1).tril()
    back[0, 0] = 1  # query by key: each row looks at the one before

    def look_back(pattern, hook):
        pattern = pattern.clone()
        pattern[:, 2] = back
        return pattern

    hooks = [("blocks.0.attn.hook_pattern", look_back)]
    net = small_network(model, previous=[(0, 2)])
    torch.testing.assert_close(net(tokens), model.run_with_hooks(tokens, fwd_hooks=hooks), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(FastNetwork(net)(tokens), net(tokens), rtol=1e-4, atol=1e-5)
    assert net.attention_numbers() == 15 * 2 * 32 * 8
    means = smaller_importance.mean_outputs(model, tokens)
    z = model.run_with_cache(tokens)[1]["z", 1][:, :, 3].mean((0, 1))
    mean = lambda x, hook: torch.cat([x[:, :, :3], z.expand(*x.shape[:2], 1, -1)], 2)
    dropped = small_network(model, dropped={(1, 3): means[1, 3]})
    wanted = model.run_with_hooks(tokens, fwd_hooks=[("blocks.1.attn.hook_z", mean)])
    torch.testing.assert_close(dropped(tokens), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(FastNetwork(dropped)(tokens), wanted, rtol=1e-4, atol=1e-5)
    assert dropped.attention_numbers() == 14 * 2 * 32 * 8 + 32


def test_an_unembedding_of_two_matrices(model, rows):
    tokens = rows[:, :-1]
    U, S, Vh = torch.linalg.svd(model.W_U)
    final = model.run_with_cache(tokens)[1]["resid_post", 1]
    net = small_network(model, unembed_rank=9)
    torch.testing.assert_close(net(tokens), final @ (U[:, :9] * S[:9] @ Vh[:9]), rtol=1e-3, atol=1e-4)
    assert [tuple(p.shape) for p in net.unembed] == [(9, 32), (64, 9)]


def test_circuits_are_cut_where_it_costs_least_for_what_it_saves():
    worth = {("QK", 0, 0): 1.0, ("OV", 0, 0): 20.0, ("QK", 0, 1): 3.0}
    calls = []

    def measured(ranks):
        calls.append(dict(ranks))
        return float(len(calls)), {c: worth[c] * (8 - {8: 4, 4: 2}[r]) for c, r in ranks.items() if r > 2}

    ladder, size = (8, 4, 2), lambda r: 2 * 16 * r
    rounds = smaller_importance.cut_step_by_step(
        measured, dict.fromkeys(worth, 8), 16, [2 * size(8) + size(4), size(8) + 2 * size(2)], 1, ladder
    )
    at = [r["ranks"] for r in rounds if r["loss"] is None]
    assert at[0] == {("QK", 0, 0): 4, ("OV", 0, 0): 8, ("QK", 0, 1): 8}
    assert at[1] == {("QK", 0, 0): 2, ("OV", 0, 0): 8, ("QK", 0, 1): 2}
    assert [r["numbers"] for r in rounds] == sorted((r["numbers"] for r in rounds), reverse=True)
    with pytest.raises(ValueError, match="smallest ranks"):
        smaller_importance.cut_step_by_step(measured, dict.fromkeys(worth, 8), 16, [5], 1, ladder)


def test_rank_costs_by_hand(model, rows):
    ranks, moments = {("QK", 0, 0): 8, ("OV", 1, 2): 4, ("OV", 1, 0): 2}, smaller.read_moments(model, rows[:, :-1])
    base, costs = smaller_importance.rank_costs(model, rows, ranks, [], moments, (8, 4, 2))
    loss = lambda r: small_network(model, r, moments=moments).window_losses(rows).mean().item()
    assert base == loss(ranks)
    assert costs == {c: loss(ranks | {c: r}) - base for c, r in ((("QK", 0, 0), 4), (("OV", 1, 2), 2))}


def test_edges_by_hooks(model, rows):
    edges, tokens = smaller_importance.Edges(model, rows), rows[:, :-1]
    loss = lambda hooks: behaviour.loss_per_position(model.run_with_hooks(tokens, fwd_hooks=hooks), rows).mean(1)
    torch.testing.assert_close(edges.losses(), loss([]))
    written = model.run_with_cache(tokens)[1]["z", 0][:, :, 1] @ model.W_O[0, 1]
    varying = written - written.mean((0, 1))

    def cut(letter, W, heads):
        def hook(x, hook):
            x = x.clone()
            for head in heads:
                x[:, :, head] -= varying @ W[1, head]
            return x

        return f"blocks.1.attn.hook_{letter}", hook

    weights = (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V))
    for number, (letter, W) in enumerate(weights):
        kept = edges.all.clone()
        kept[number, 1, 2] = False
        torch.testing.assert_close(edges.losses(kept), loss([cut(letter, W, [2])]), rtol=1e-5, atol=1e-5)
    subtract = ("blocks.1.hook_resid_post", lambda x, hook: x - varying)
    hooks = [cut("q", model.W_Q, range(4)), cut("k", model.W_K, [0, 1, 3]), cut("v", model.W_V, range(4)), subtract]
    torch.testing.assert_close(edges.keys_only(1, [2]), loss(hooks), rtol=1e-5, atol=1e-5)
    kept = edges.all.clone()
    kept[2, 3, 0] = False
    costs = edges.costs()
    assert math.isclose(costs[2, 3, 0], (edges.losses(kept) - edges.losses()).mean(), abs_tol=1e-6)
    with pytest.raises(ValueError, match="2 layers, not 1"):
        smaller_importance.Edges(models.tiny(1), rows)


def test_healing_brings_a_network_nearer_and_spares_embeddings_and_zeros(model, rows):
    cut = lambda: small_network(model, some_ranks(model))
    teacher, before, many = small_network(model), cut(), rows.repeat(20, 1)
    taught = smaller_healing.heal(cut(), many, 60, teacher, batch=2, lr=3e-3)
    apart = lambda net: smaller_healing.divergence(net, teacher, rows[:, :-1]).item()
    assert apart(taught) < apart(before) / 2
    assert abs(apart(small_network(model))) < 1e-5
    torch.testing.assert_close(taught.embed, before.embed)
    torch.testing.assert_close(taught.unembed[0], before.unembed[0])
    more = smaller_healing.heal(cut(), many, 3, teacher, batch=2, unembedding=True)
    assert (more.unembed[0] - before.unembed[0]).abs().max() > 1e-4
    p, q = model(rows[:1, :-1]).softmax(-1), before(rows[:1, :-1]).softmax(-1)
    by_hand = (p * (p / q).log()).sum(-1).mean()
    found = smaller_healing.divergence(before, teacher, rows[:1, :-1])
    torch.testing.assert_close(found, by_hand, rtol=1e-3, atol=1e-6)
    sparse = smaller_healing.heal(smaller_healing.by_magnitude(model, 0.5), rows, 3, teacher, batch=2, sparse=True)
    for matrix in (layer.k for layer in sparse.layers):
        assert (torch.cat(list(matrix)) != 0).float().mean() == 0.5
    with pytest.raises(ValueError, match="need 8 rows"):
        smaller_healing.heal(cut(), rows, 2, teacher, batch=4)


def test_cuts_that_do_not_know_what_is_read(model):
    net = smaller_healing.by_magnitude(model, 0.3)
    q, cut = model.blocks[1].attn.q.weight / math.sqrt(8), torch.cat(list(net.layers[1].q))
    kept = cut != 0
    torch.testing.assert_close(cut[kept], q[kept])
    assert q[kept].abs().min() > q[~kept].abs().max()
    assert math.isclose(kept.float().mean(), 0.3, abs_tol=0.001)
    for budget in (4000, 6000):
        even = smaller_healing.even_ranks(model, budget)
        (rank,) = set(even.values())
        assert len(even) == 16
        assert 16 * 2 * 32 * rank <= budget < 16 * 2 * 32 * (rank + 1)
    with pytest.raises(ValueError, match="too few"):
        smaller_healing.even_ranks(model, 100)
    drawn = [smaller_healing.random_ranks(some_ranks(model), 3000, 32, (8, 6, 4, 2), seed) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    for ranks in drawn:
        assert 3000 - 2 * 32 * 2 < 2 * 32 * sum(ranks.values()) <= 3000
        assert all(rank <= some_ranks(model)[circuit] for circuit, rank in ranks.items())
    with pytest.raises(ValueError, match="at rank 2 all circuits"):
        smaller_healing.random_ranks(some_ranks(model), 100, 32, (8, 6, 4, 2))
    costs = {(layer, head): float(layer * 4 + head) for layer in range(2) for head in range(4)}
    means = smaller_importance.mean_outputs(model, torch.zeros(1, 4).long())
    heads = smaller_healing.by_heads(model, costs, means, 5 * 4 * 32 * 8 + 64)
    assert [[OV for _, OV in layer.ranks] for layer in heads.layers] == [[0, 0, 0, 8], [8] * 4]
    assert heads.attention_numbers() == 5 * 4 * 32 * 8 + 32  # only one layer needs a constant
    student, whole = smaller_healing.scrambled(small_network(model)), small_network(model)
    assert (student.layers[0].q[1] - whole.layers[0].q[1]).abs().mean() > 0.01
    torch.testing.assert_close(student.embed, whole.embed)


def test_a_network_comes_back_from_its_file(model, rows, tmp_path):
    means = smaller_importance.mean_outputs(model, rows[:, :-1])
    net = small_network(model, some_ranks(model), [(0, 1)], [(1, 2)], {(1, 0): means[1, 0]})
    again = save_small(net, tmp_path / "net.safetensors", model)
    assert [layer.sees for layer in again.layers] == [("all", "previous", "all", "all"), ("all", "all", "near", "all")]
    assert again.attention_numbers() == net.attention_numbers()
    for old, new in zip(net.parameters(), again.parameters()):
        torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(again.window_losses(rows), net.window_losses(rows), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="width 32"):
        load_small(models.untrained(1), tmp_path / "net.safetensors")


def test_speeds_are_those_of_the_model_itself(model, rows):
    torch.testing.assert_close(unpruned(model)(rows[:, :-1]), model(rows[:, :-1]))
    ticks = map(float, range(100))
    assert fewest_seconds({"a": lambda: next(ticks), "b": lambda: None}, 3, lambda: next(ticks)) == {"a": 2, "b": 1}
    found = tokens_per_second(model, {"small": small_network(model)}, rows[:, :-1], 1)
    assert set(found) == {"unpruned", "small"}
    assert all(speed > 0 for each in found.values() for speed in each.values())


@pytest.mark.parametrize(("n_pos", "window"), [(32, 8), (30, 8), (5, 8), (9, 4), (8, 1)])
def test_near_attention_is_a_mask(n_pos, window):
    q, k, v = (random(2, 3, n_pos, 4, seed=seed) for seed in range(3))
    allowed = torch.zeros(n_pos, n_pos, dtype=torch.bool)
    for query in range(n_pos):
        for key in range(query + 1):
            allowed[query, key] = key == 0 or key > query - window
    wanted = (q @ k.mT).masked_fill(~allowed, -torch.inf).softmax(-1) @ v
    torch.testing.assert_close(smaller_speed.near_attention(q, k, v, window), wanted)


def test_heads_that_look_near_in_a_network(monkeypatch, model, rows):
    monkeypatch.setattr("walkthrough.beyond.smaller_network.WINDOW", 8)
    smaller_network.seen_keys.cache_clear()
    tokens, place = rows[:, :-1], torch.arange(32)
    far = (place[:, None] - place >= 8) & (place > 0)

    def near(pattern, hook):
        pattern = pattern.clone()
        cut = pattern[:, 1:3].masked_fill(far, 0)
        pattern[:, 1:3] = cut / cut.sum(-1, keepdim=True)
        return pattern

    net = small_network(model, near=[(1, 1), (1, 2)])
    wanted = model.run_with_hooks(tokens, fwd_hooks=[("blocks.1.attn.hook_pattern", near)])
    torch.testing.assert_close(net(tokens), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(FastNetwork(net)(tokens), wanted, rtol=1e-4, atol=1e-5)
    assert (net(tokens) - model(tokens)).abs().max() > 1e-4
    smaller_network.seen_keys.cache_clear()


def test_texts_that_share_runs_of_tokens():
    rows = torch.arange(80).view(2, 40)
    others = torch.cat([torch.zeros(1, 1).long(), rows[:1, 11:31]], 1)  # twenty tokens of the first window
    runs = 2 * (39 - 8 + 1)
    assert smaller_measured.shared_runs(rows, others, length=8) == (20 - 8 + 1) / runs
    assert smaller_measured.shared_runs(rows, rows + 100, length=8) == 0


def test_what_the_run_measures(model, rows):
    losses, whole = torch.tensor([3.0, 1.0, 2.5, 4.5]), torch.tensor([2.0, 1.0, 2.0, 4.0])
    stderr = round(torch.tensor([1.0, 0.0, 0.5, 0.5]).std().item() / 2, 5)
    assert smaller_measured.paired(losses, whole) == {"cost": 0.5, "stderr": stderr, "windows": 4}
    means = smaller_importance.mean_outputs(model, rows[:, :-1])
    worths = smaller_measured.worths(model, rows, means)
    assert max(map(abs, worths["far keys"])) < 1e-6  # a context of 32: all keys are near
    z = model.run_with_cache(rows[:, :-1])[1]["z", 0][:, :, 2].mean((0, 1))
    mean = lambda x, hook: torch.cat([x[:, :, :2], z.expand(*x.shape[:2], 1, -1), x[:, :, 3:]], 2)
    cut = model.run_with_hooks(rows[:, :-1], fwd_hooks=[("blocks.0.attn.hook_z", mean)])
    change = (behaviour.loss_per_position(cut, rows) - behaviour.loss_per_position(model(rows[:, :-1]), rows)).mean()
    assert math.isclose(worths["heads"][2], change, abs_tol=1e-5)
    start = {circuit: 8 for circuit in smaller.read_moments(model, rows[:, :-1])}
    known = {
        "ranks": {0.5: some_ranks(model)}, "moments": smaller.read_moments(model, rows[:, :-1]), "start": start,
        "heads": {(layer, head): 0.1 * head + layer for layer in range(2) for head in range(4)}, "means": means,
    }  # fmt: skip
    even = smaller_measured.cut_network(model, "even ranks", 0.5, known)
    plain = smaller_measured.cut_network(model, "plain SVD", 0.5, known)
    assert even.attention_numbers() == plain.attention_numbers() == 0.5 * 8192
    left, right = plain.layers[0].pairs("QK")[1]
    U, S, Vh = torch.linalg.svd(torch.mm(*smaller.circuit_factors(model, ("QK", 0, 1))))
    torch.testing.assert_close(left.T @ right, U[:, :4] * S[:4] @ Vh[:4], rtol=1e-3, atol=1e-5)
    magnitude = smaller_measured.cut_network(model, "magnitude", 0.5, known)
    assert sum((p != 0).sum() for p in magnitude.layers.parameters()) == 0.5 * 8192
    heads = smaller_measured.cut_network(model, "whole heads", 0.5, known)
    assert 0.3 * 8192 < heads.attention_numbers() <= 0.5 * 8192


@pytest.fixture(scope="module")
def shipped():
    model = models.load("two-layer")
    return model, load_small(model), smaller_runs.load_curves()


def test_what_ships_is_what_the_record_tells(shipped):
    _, small, curves = shipped
    record, total = curves["shipped"], 4 * 2 * 256**2
    assert small.attention_numbers() == record["numbers"] <= record["share"] * total
    for share, table in curves["ranks"].items():
        assert 2 * 256 * torch.tensor(table).sum() == curves[f"ranks by what is read, {share}"]["numbers"]
        assert curves[f"ranks by what is read, {share}"]["numbers"] <= float(share) * total
    assert [pair for layer in small.layers for pair in layer.ranks] == [
        (QK, OV) for rows in zip(*curves["ranks"][str(record["share"])]) for QK, OV in zip(*rows)
    ]
    points = {name: entry for name, entry in curves.items() if isinstance(entry, dict) and "cost" in entry}
    assert all(point["windows"] == 400 for point in points.values() if point["healed"])
    assert {"unpruned", "nothing cut", "shipped"} < set(curves["speed"])
    for method in smaller_measured.METHODS:
        assert [point["share"] for point in points.values() if point["method"] == method and point["healed"]]


def test_a_small_part_of_the_record_is_made_again_on_other_texts(shipped):
    model, small, curves = shipped
    rows = kept_texts("course")
    whole = small_network(model).window_losses(rows)
    cost = lambda net: (net.window_losses(rows) - whole).mean().item()
    error = lambda name: 0.15 * curves[name]["cost"] + 0.05  # eight texts, and others
    assert abs(cost(small) - curves["shipped"]["cost"]) < error("shipped")
    plain = small_network(model, smaller_healing.even_ranks(model, int(0.8 * 4 * 2 * 256**2)))
    assert abs(cost(plain) - curves["plain SVD, 0.8"]["cost"]) < error("plain SVD, 0.8")
    magnitude = smaller_healing.by_magnitude(model, 0.65)
    assert abs(cost(magnitude) - curves["magnitude, 0.65"]["cost"]) < error("magnitude, 0.65")
    twice = behaviour.repeated_tokens(4096, 60, 2, 4, seed=1)  # the induction heads are still there
    first, second = (small.window_losses(twice[:, part]).mean() for part in (slice(0, 61), slice(0, 121)))
    second = 2 * second - first
    assert second < first - 4


def test_figures_show_what_they_are_given(shipped):
    import matplotlib.pyplot as plt

    from walkthrough.figures import smaller as figures

    curves = {"a": [(0.5, 0.3, 0.01), (0.8, 0.01, 0.002)], "b": [(0.6, 0.1, 0.01)]}
    ax = figures.cost_curves(curves, x="share of numbers", target=0.02, at=0.5)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.containers[0].lines[0].get_xydata().tolist() == [[0.5, 0.3], [0.8, 0.01]]
    table = torch.tensor([[[4, 0], [8, 2]], [[8, 8], [8, 1]]])
    axes = figures.rank_table(table, 8)
    assert [text.get_text() for text in axes[0].texts] == ["4", "–", "8", "2"]
    panels = figures.edge_costs(torch.tensor(shipped[2]["worths"]["edges"]), smaller_importance.EDGES)
    assert panels[1].get_title() == "into the key"
    assert panels[1].images[0].get_array().shape == (8, 8)
    ax = figures.rank_shares({"a": torch.tensor([0.9, 0.09, 0.01])})
    assert torch.allclose(torch.tensor(ax.lines[0].get_ydata()), torch.tensor([1, 0.1, 0.01]).double(), atol=1e-6)
    plt.close("all")
