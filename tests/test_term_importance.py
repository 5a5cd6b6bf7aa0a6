"""Term importance by a second road: every path by itself, hooks that cut heads, torch's own loss, and autograd."""

import pytest
import torch
from matplotlib import pyplot as plt
from torch.nn.functional import cross_entropy

from walkthrough import behaviour, figures, interventions, models, paths
from walkthrough.two_layers import term_importance as terms
from walkthrough.two_layers import virtual_heads
from walkthrough.two_layers.terms import leaving_out, term_slope, upto_order

ROWS = torch.randint(1, 64, (3, 14), generator=torch.Generator().manual_seed(1))
ROWS[:, 0] = 0
TOKENS = ROWS[:, :-1]
PAIRS = [(write, read) for write in range(4) for read in range(4)]


@pytest.fixture(scope="module")
def model():
    return models.tiny(2, seed=3).double()


@pytest.fixture(scope="module")
def expansion(model):
    return paths.path_expansion(model, TOKENS)


def order(name):
    return 0 if name == "direct" else 1 + name.count("→")


def group(name):
    return "virtual" if "→" in name else "direct" if name == "direct" else f"layer {name[0]}"


def loss(logits, rows=ROWS):
    return cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
def test_the_ordered_algorithm_is_a_sum_over_paths(n_layers):
    model = models.tiny(n_layers, seed=5).double()
    losses = terms.ordered_losses(model, ROWS)
    assert len(losses) == n_layers + 1
    every = paths.path_expansion(model, TOKENS)
    for n in range(n_layers + 1):
        torch.testing.assert_close(losses[n], loss(sum(x for name, x in every.items() if order(name) <= n)))
    torch.testing.assert_close(losses[-1], loss(model(TOKENS)))
    torch.testing.assert_close(losses[0], loss(model.W_E[TOKENS] @ model.W_U))


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_algorithm_without_hooks_is_the_algorithm_with_hooks(order):
    model = models.tiny(3, seed=6).double()
    _, cache = model.run_with_cache(TOKENS[:1])
    patterns = torch.stack([cache["pattern", layer][0] for layer in range(3)])
    logits = upto_order(order, model.W_E[TOKENS[0]], patterns, model.W_V, model.W_O, model.W_U)
    torch.testing.assert_close(loss(logits[None], ROWS[:1]), terms.ordered_losses(model, ROWS[:1])[order])


def test_sums_with_and_without_the_current_token(model):
    """By runs: heads that see nothing but their own position, and the full run."""
    measured = terms.current_token_losses(model, ROWS)
    patterns = terms.two_patterns(model, TOKENS)
    own = model.run_with_hooks(TOKENS, fwd_hooks=paths.freeze([pattern * torch.eye(13) for pattern in patterns]))
    direct, full = model.W_E[TOKENS] @ model.W_U, model(TOKENS)
    by_hand = {"direct": direct, "own": own - direct, "direct, own": own, "direct, rest": full - own + direct,
               "own, rest": full - direct, "rest": full - own, "direct, own, rest": full}  # fmt: skip
    assert list(measured) == list(by_hand)
    for name, logits in by_hand.items():
        torch.testing.assert_close(measured[name], loss(logits).mean(1))


def test_values_that_are_given_back_are_paths_that_are_given_back(model):
    """The foreign ones by runs: the other tokens, with the patterns of these."""
    tokens, others = (behaviour.repeated_tokens(64, 6, 2, 3, seed=seed) for seed in (1, 2))
    losses = virtual_heads.value_losses(model, tokens, others, 6, writers=[0, 2], readers=[1, 3])
    expansion = paths.path_expansion(model, tokens[:, :-1])
    embedding = expansion["1:1"] + expansion["1:3"]
    second = sum(expansion[f"0:{w} → 1:{r}"] for w in (0, 2) for r in (1, 3))
    frozen = paths.freeze(terms.two_patterns(model, tokens[:, :-1]))

    def run(layer_0):
        silent = interventions.ablate(model, [(0, h) for h in range(4) if h not in layer_0] + [(1, 0), (1, 2)])
        return model.run_with_hooks(others[:, :-1], fwd_hooks=frozen + silent)

    singles = [run([0, 2]) - run([]), *(head_alone(model, others[:, :-1], frozen, h) for h in (0, 2))]
    foreign = singles[0] - singles[1] - singles[2]
    rest = model(tokens[:, :-1]) - embedding - second
    by_hand = {"neither": 0, "embedding": embedding, "second": second, "embedding and second": embedding + second,
               "foreign second": foreign, "embedding and foreign second": embedding + foreign}  # fmt: skip
    assert list(losses) == list(by_hand)
    for name, logits in by_hand.items():
        torch.testing.assert_close(losses[name], loss(rest + logits, tokens)[:, 6:].mean(1))


def head_alone(model, tokens, frozen, head):
    """Logits that a head of layer 0 adds to the direct path, layer 1 being silent."""
    others = [(0, h) for h in range(4) if h != head] + [(1, h) for h in range(4)]
    silent = interventions.ablate(model, others)
    return model.run_with_hooks(tokens, fwd_hooks=frozen + silent) - model.W_E[tokens] @ model.W_U


@pytest.mark.parametrize("seed", [0, 1])
def test_leaving_out_is_minus_the_term_added_to_the_full_sum(seed):
    generator = torch.Generator().manual_seed(seed)
    full, term = torch.randn(2, 6, 9, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 9, (6,), generator=generator)
    slope, curvature = leaving_out(full, term, targets).T
    p, without = full.log_softmax(1), (full - term).log_softmax(1)
    torch.testing.assert_close(curvature, (p.exp() * (p - without)).sum(1))
    torch.testing.assert_close(slope + curvature, (p - without)[range(6), targets])


def test_fading_changes_the_size_of_one_group(model, expansion):
    sizes = torch.tensor([0.0, 0.5, 1.0, 1.7])
    faded = terms.fading(model, ROWS, sizes)
    assert faded.shape == (4, 4, 3)
    for i, name in enumerate(terms.GROUPS):
        inside = sum(x for path, x in expansion.items() if group(path) == name)
        rest = sum(x for path, x in expansion.items() if group(path) != name)
        for size, losses in zip(sizes, faded[i]):
            torch.testing.assert_close(losses, loss(rest + size * inside).mean(1), rtol=1e-6, atol=1e-6)


def test_silencing_costs_what_hooks_say(model):
    sets = [[(0, 1)], [(0, 0), (1, 2)]]
    costs = terms.silence_costs(model, ROWS, sets)
    frozen = paths.freeze(terms.two_patterns(model, TOKENS))
    whole = loss(model(TOKENS)).mean(1)
    for i, heads in enumerate(sets):
        cut = interventions.ablate(model, heads)
        free, held = (loss(model.run_with_hooks(TOKENS, fwd_hooks=h)).mean(1) for h in (cut, cut + frozen))
        torch.testing.assert_close(costs[:, i], torch.stack([held, free]) - whole)
    swapped = terms.silence_costs(model, ROWS, sets[:1], others=ROWS.roll(1, 0))[:, 0]
    cut = interventions.swap(model, sets[0], TOKENS.roll(1, 0))
    free, held = (loss(model.run_with_hooks(TOKENS, fwd_hooks=h)).mean(1) for h in (cut, cut + frozen))
    torch.testing.assert_close(swapped, torch.stack([held, free]) - whole)
    last = terms.silence_costs(model, ROWS, [[(1, 3)]])
    torch.testing.assert_close(last[0], last[1])  # no pattern depends on a head of the last layer


def test_the_algorithm_leaves_no_hook_behind(model):
    before = model(TOKENS)
    terms.ordered_losses(model, ROWS)
    terms.two_patterns(model, TOKENS)
    assert model(TOKENS).equal(before)


def test_a_layer_is_the_sum_of_its_heads(model):
    patterns = terms.two_patterns(model, TOKENS)
    stream = torch.randn(3, 13, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slow = sum(paths.head_output(patterns[1][:, h], stream, model.W_V[1, h], model.W_O[1, h]) for h in range(4))
    torch.testing.assert_close(terms.layer_outputs(patterns[1], stream, model.W_V[1], model.W_O[1]), slow)


def test_patterns_are_those_of_the_run(model):
    cache = model.run_with_cache(TOKENS)[1]
    for layer, pattern in enumerate(terms.two_patterns(model, TOKENS)):
        torch.testing.assert_close(pattern, cache["pattern", layer])


def test_groups_are_sums_of_paths(model, expansion):
    groups = terms.path_groups(model, TOKENS, terms.two_patterns(model, TOKENS))
    for name, resid in zip(terms.GROUPS, groups):
        torch.testing.assert_close(resid @ model.W_U, sum(x for path, x in expansion.items() if group(path) == name))


def test_groups_with_the_patterns_of_other_tokens_are_a_run_with_these_forced(model):
    patterns = terms.two_patterns(model, TOKENS.flip(0))
    groups = terms.path_groups(model, TOKENS, patterns)
    run = lambda hooks: model.run_with_hooks(TOKENS, fwd_hooks=[*paths.freeze(patterns), *hooks])
    torch.testing.assert_close(groups.sum(0) @ model.W_U, run([]))
    silent = interventions.ablate(model, [(0, head) for head in range(4)])
    torch.testing.assert_close((groups[0] + groups[2]) @ model.W_U, run(silent))
    assert not torch.allclose(groups.sum(0) @ model.W_U, model(TOKENS))


def test_each_virtual_value_is_its_path(model, expansion):
    z = virtual_heads.virtual_values(model, TOKENS, terms.two_patterns(model, TOKENS))
    for write, read in PAIRS:
        logits = z[write, read] @ model.W_O[1, read] @ model.W_U
        torch.testing.assert_close(logits, expansion[f"0:{write} → 1:{read}"])


@pytest.mark.parametrize("n_pos", [1, 63, 64, 130])
def test_losses_of_sums_are_torchs_own(n_pos):
    generator = torch.Generator().manual_seed(n_pos)
    groups, W_U = torch.randn(3, n_pos, 6, generator=generator), torch.randn(6, 9, generator=generator)
    targets = torch.randint(0, 9, (n_pos,), generator=generator)
    sums = torch.tensor([[1.0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])
    for loss_of, members in zip(terms.sum_losses(groups, W_U, targets, sums), sums):
        stream = sum(x for x, taken in zip(groups, members) if taken)
        torch.testing.assert_close(loss_of, cross_entropy(stream @ W_U, targets, reduction="none"))


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_sums_are_measured_window_by_window(model, expansion, batch):
    sums = {"a": ["direct", "virtual"], "b": ["layer 1"], "all": terms.GROUPS}
    measured = terms.measure_sums(model, ROWS, sums, batch=batch)
    assert list(measured) == list(sums)
    for name, members in sums.items():
        logits = sum(x for path, x in expansion.items() if group(path) in members)
        torch.testing.assert_close(measured[name], loss(logits).mean(1))


def test_sums_may_be_measured_with_the_patterns_of_other_windows(model):
    other = ROWS.roll(1, 0)
    measured = terms.measure_sums(model, ROWS, {"all": terms.GROUPS}, patterns_of=other, batch=2)["all"]
    hooks = paths.freeze(terms.two_patterns(model, other[:, :-1]))
    torch.testing.assert_close(measured, loss(model.run_with_hooks(TOKENS, fwd_hooks=hooks)).mean(1))


def test_worths_are_steps_between_losses():
    losses = {name: torch.rand(3, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(terms.SUMS)}
    worth = terms.worths(losses, 64)
    orders = [worth[name] for name in ("order 0, below uniform", "order 1, more", "order 2, more")]
    torch.testing.assert_close(sum(orders), torch.tensor(64.0).log() - losses["up to order 2"])
    torch.testing.assert_close(worth["layer 0, alone"] + worth["layer 1, given layer 0"], worth["order 1, more"])
    torch.testing.assert_close(worth["layer 1, alone"] + worth["layer 0, given layer 1"], worth["order 1, more"])
    torch.testing.assert_close(worth["layer 1, alone"], losses["order 0"] - losses["with layer 1"])


def test_the_usual_sums_are_cuts_of_the_model(model):
    """Each by hooks: patterns frozen, and the heads of the layers that are not in the sum silenced."""
    measured = terms.measure_sums(model, ROWS)
    whole_layer = lambda layer: interventions.ablate(model, [(layer, head) for head in range(4)])
    frozen = paths.freeze(terms.two_patterns(model, TOKENS))
    for name, cuts in (("order 0", [0, 1]), ("with layer 0", [1]), ("with layer 1", [0]), ("up to order 2", [])):
        hooks = [hook for layer in cuts for hook in whole_layer(layer)]
        logits = model.run_with_hooks(TOKENS, fwd_hooks=[*frozen, *hooks])
        torch.testing.assert_close(measured[name], loss(logits).mean(1))


@pytest.fixture(scope="module")
def some_terms():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    return draw(5, 9), torch.randint(0, 9, (5,), generator=generator), draw(2, 3, 5, 4), draw(3, 4, 9)


def test_added_loss_is_the_loss_after_less_the_loss_before(some_terms):
    logits, targets, z, readout = some_terms
    added = virtual_heads.added_loss(logits.log_softmax(-1), targets, z, readout)
    assert added.shape == (2, 3, 5)
    for write in range(2):
        for read in range(3):
            after = cross_entropy(logits + z[write, read] @ readout[read], targets, reduction="none")
            torch.testing.assert_close(added[write, read], after - cross_entropy(logits, targets, reduction="none"))


def test_added_loss_does_not_change_what_it_is_given(some_terms):
    copies = [x.clone() for x in some_terms]
    virtual_heads.added_loss(*some_terms)
    assert all(x.equal(copy) for x, copy in zip(some_terms, copies))


def test_slope_is_the_derivative(some_terms):
    logits, targets, z, readout = some_terms
    slope = virtual_heads.loss_slope(logits.log_softmax(-1), targets, z, readout)
    for write in range(2):
        for read in range(3):
            size = torch.zeros(5, 1, dtype=torch.float64, requires_grad=True)
            with torch.enable_grad():
                after = cross_entropy(logits + size * (z[write, read] @ readout[read]), targets, reduction="sum")
                (gradient,) = torch.autograd.grad(after, size)
            torch.testing.assert_close(slope[write, read], gradient.squeeze(1))


@pytest.mark.parametrize("every", [1, 3])
def test_virtual_effects_by_every_path(model, expansion, every):
    """The slow way: each path's logits taken from the full sum, or added to orders 0 and 1."""
    slopes, beyond = virtual_heads.virtual_effects(model, ROWS, every)
    assert slopes.shape == beyond.shape == (2, 4, 4, 3)
    full, first = sum(expansion.values()), sum(x for name, x in expansion.items() if order(name) < 2)
    for write, read in PAIRS:
        for side, (start, step) in enumerate(((full, -1), (first, 1))):
            term = step * expansion[f"0:{write} → 1:{read}"]
            exact = loss(start + term) - loss(start)
            slope = (loss(start + 1e-6 * term) - loss(start - 1e-6 * term)) / 2e-6
            torch.testing.assert_close(slopes[side, write, read], slope.mean(1), rtol=0, atol=1e-8)
            rest = (exact - slope)[:, every - 1 :: every].mean(1)
            torch.testing.assert_close(beyond[side, write, read], rest, rtol=0, atol=1e-8)


def test_virtual_heads_of_other_windows_are_subtracted_or_added(model, expansion):
    others = ROWS.roll(1, 0)
    effect = sum(virtual_heads.virtual_effects(model, ROWS, every=1, terms_of=others))
    foreign = paths.path_expansion(model, others[:, :-1])
    full, first = sum(expansion.values()), sum(x for name, x in expansion.items() if order(name) < 2)
    for write, read in PAIRS:
        for side, (start, step) in enumerate(((full, -1), (first, 1))):
            exact = loss(start + step * foreign[f"0:{write} → 1:{read}"]) - loss(start)
            torch.testing.assert_close(effect[side, write, read], exact.mean(1))


def test_curvature_is_the_divergence_of_the_predictions(some_terms):
    """Whatever the target: KL of the probabilities with the term from those without."""
    logits, targets, z, readout = some_terms
    log_probs = logits.log_softmax(-1)
    curvature = virtual_heads.added_loss(log_probs, targets, z, readout)
    curvature = curvature - virtual_heads.loss_slope(log_probs, targets, z, readout)
    for write, read in ((0, 0), (1, 2)):
        after = (logits + z[write, read] @ readout[read]).log_softmax(-1)
        divergence = (log_probs.exp() * (log_probs - after)).sum(-1)
        torch.testing.assert_close(curvature[write, read], divergence)


def test_slopes_at_once_are_slopes_one_by_one(some_terms):
    logits, targets, z, readout = some_terms
    slopes = virtual_heads.loss_slope(logits.log_softmax(-1), targets, z, readout)
    for write, read in ((0, 1), (1, 0)):
        torch.testing.assert_close(slopes[write, read], term_slope(logits, z[write, read] @ readout[read], targets))


def test_the_trained_model_by_hooks_and_by_groups(two_layer):
    rows = torch.randint(1, 4096, (2, 40), generator=torch.Generator().manual_seed(0))
    rows[:, 0] = 0
    sums = {"0": ["direct"], "1": ["direct", "layer 0", "layer 1"], "2": terms.GROUPS}
    fast = torch.stack(list(terms.measure_sums(two_layer, rows, sums).values()))
    torch.testing.assert_close(fast, terms.ordered_losses(two_layer, rows).mean(-1), rtol=1e-4, atol=1e-4)
    whole = behaviour.loss_per_position(two_layer(rows[:, :-1]), rows).mean(-1)
    torch.testing.assert_close(fast[-1], whole, rtol=1e-4, atol=1e-4)


def test_bad_input_gets_one_clear_sentence(model):
    with pytest.raises(ValueError, match="there is no group 'layer 2': the groups are 'direct', 'layer 0', 'layer 1'"):
        terms.measure_sums(model, ROWS, {"too deep": ["direct", "layer 2"]})
    for measure in (
        lambda m: terms.measure_sums(m, ROWS, {"0": ["direct"]}),
        lambda m: virtual_heads.virtual_effects(m, ROWS),
    ):
        with pytest.raises(ValueError, match="use a model of 2 layers, not of 3"):
            measure(models.tiny(3))


def test_bars_stand_in_their_groups_with_their_errors():
    means = {"a": torch.tensor([1.0, -2.0]), "b": torch.tensor([3.0, 4.0])}
    errors = {"a": torch.tensor([0.1, 0.2]), "b": torch.tensor([0.3, 0.4])}
    ax = figures.terms.grouped_bars(means, errors, ["first", "second"], x="term", y="nats", reported=[5.0, 6.0])
    assert [[bar.get_height() for bar in bars] for bars in ax.containers if hasattr(bars, "patches")] == [
        [1, -2],
        [3, 4],
    ]
    centres = [
        [bar.get_x() + bar.get_width() / 2 for bar in bars] for bars in ax.containers if hasattr(bars, "patches")
    ]
    torch.testing.assert_close(torch.tensor(centres), torch.tensor([[-0.2, 0.8], [0.2, 1.2]]).double())
    lines = next(each for each in ax.collections if each.get_label() == "reported for the paper's model")
    assert [line.tolist() for line in lines.get_segments()] == [[[-0.45, 5], [0.45, 5]], [[0.55, 6], [1.45, 6]]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["reported for the paper's model", "a", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["first", "second"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("term", "nats")
    plt.close("all")


def test_virtual_heads_share_a_scale_and_mark_what_is_unsure():
    means = torch.tensor([[[0.004, -0.001], [0.002, 0.0]], [[-0.008, 0.001], [0.003, 0.003]]])
    axes = figures.terms.pair_worths(means, torch.full((2, 2, 2), 0.001), ("left out", "added"))
    assert [ax.get_title() for ax in axes] == ["left out", "added"]
    for ax, mean in zip(axes, means):
        assert ax.images[0].get_clim() == pytest.approx((-8, 8))
        torch.testing.assert_close(torch.tensor(ax.images[0].get_array()), 1000 * mean)
    dots = [sorted(zip(*(axis.tolist() for axis in ax.lines[0].get_data()))) for ax in axes]
    assert dots == [[(1, 0), (1, 1)], [(1, 0)]]
    plt.close("all")


def test_a_term_fades_in_along_a_curve_that_leaves_its_straight_line():
    sizes = torch.tensor([0.0, 0.5, 1.0, 1.5])
    ax = figures.terms.fade_in(sizes, torch.tensor([2.0, 1.4, 1.0, 0.9]), slope=-1.5)
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines["straight line with the slope at 0"] == [[0, 2], [1, 0.5]]
    torch.testing.assert_close(torch.tensor(lines["loss"]), torch.tensor([[0, 2], [0.5, 1.4], [1, 1], [1.5, 0.9]]))
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["slope -1.50", "curvature +0.50"]
    plt.close("all")


def test_groups_fade_in_a_curve_each():
    sizes = torch.tensor([0.0, 1.0, 2.0])
    ax = figures.terms.fading(sizes, {"direct": torch.tensor([3.0, 2, 3]), "virtual": torch.tensor([4.0, 2, 5])})
    curves = {line.get_label(): torch.as_tensor(line.get_ydata()).tolist() for line in ax.lines}
    assert curves["direct"] == [3, 2, 3]
    assert curves["virtual"] == [4, 2, 5]
    assert len({line.get_color() for line in ax.lines[:2]}) == len({line.get_marker() for line in ax.lines[:2]}) == 2
    plt.close("all")
