"""Two heads in a row, by a second road: loops, one vector at a time, and TransformerLens' own scores."""

import pytest
import torch

from walkthrough import behaviour, circuits, figures, interventions, models, paths
from walkthrough.two_layers import composition, induction


@pytest.fixture(scope="module")
def model():
    return models.tiny(2, seed=3).double()


@pytest.mark.parametrize(("first", "second"), [((0, 0), (1, 3)), ((0, 2), (1, 1))])
def test_the_k_composed_circuit_by_following_two_tokens(model, first, second):
    """A key made of what the first head moves from one token, and a query made of another."""
    circuit = composition.k_composed_circuit(model, first, second)
    assert circuit.shape == (64, 64)
    assert torch.linalg.matrix_rank(circuit.AB) == model.cfg.d_head
    W_Q, W_K, _, _ = models.head_weights(model, *second)
    _, _, W_V, W_O = models.head_weights(model, *first)
    for row, column in [(3, 50), (50, 3), (7, 7)]:
        moved = model.W_E[column] @ W_V @ W_O
        score = (model.W_E[row] @ W_Q).dot(moved @ W_K) / model.cfg.d_head**0.5
        torch.testing.assert_close(circuit.AB[row, column], score)


@pytest.mark.parametrize("function", [composition.k_composed_circuit, composition.virtual_ov_circuit])
def test_pairs_that_cannot_compose_are_refused(model, function):
    with pytest.raises(ValueError, match="head 0:1 cannot read what 1:0 writes: the first head must be in an earlier"):
        function(model, (1, 0), (0, 1))
    with pytest.raises(ValueError, match="cannot read what 0:0 writes"):
        function(model, (0, 0), (0, 1))
    with pytest.raises(ValueError, match="there is no head 4"):
        function(model, (0, 4), (1, 0))
    with pytest.raises(ValueError, match="there is no layer 2"):
        function(model, (0, 0), (2, 0))


@pytest.mark.parametrize("kind", ["Q", "K", "V"])
def test_scores_are_those_of_transformer_lens(two_layer, kind):
    mine = composition.composition_scores(two_layer, kind)
    assert mine.shape == (8, 8)
    torch.testing.assert_close(mine, two_layer.all_composition_scores(kind)[0, :, 1])


@pytest.mark.parametrize("layers", [(0, 1), (0, 2), (1, 2)])
def test_scores_of_any_two_layers(layers):
    model = models.tiny(3, seed=1).double()
    for kind in "QKV":
        theirs = model.all_composition_scores(kind)[layers[0], :, layers[1]]
        torch.testing.assert_close(composition.composition_scores(model, kind, layers), theirs)


@pytest.mark.parametrize("kind", ["Q", "K", "V"])
def test_scores_in_the_papers_convention(model, kind):
    """Columns: W_QK = W_Qᵀ W_K, W_OV = W_O W_V, and the earlier head on the right."""
    scores = composition.composition_scores(model, kind)
    for write in range(4):
        for read in range(4):
            _, _, W_V, W_O = (W.T for W in models.head_weights(model, 0, write))
            W_Q2, W_K2, W_V2, W_O2 = (W.T for W in models.head_weights(model, 1, read))
            W_OV, W_QK = W_O @ W_V, W_Q2.T @ W_K2
            reads = {"Q": W_QK.T, "K": W_QK, "V": W_O2 @ W_V2}[kind]
            size = lambda matrix: torch.linalg.svdvals(matrix).square().sum().sqrt()
            torch.testing.assert_close(scores[write, read], size(reads @ W_OV) / (size(reads) * size(W_OV)))


@pytest.mark.parametrize(("d_model", "n_heads"), [(64, 8), (64, 2), (128, 8)])
def test_random_scores_are_one_over_the_root_of_d_model_whatever_d_head(d_model, n_heads):
    scores = []
    for seed in range(8):
        shape = models.config(2, d_model=d_model, n_heads=n_heads, n_ctx=8, d_vocab=16)
        random = models.bridge(models.PaperModel(shape, seed))
        scores += [composition.composition_scores(random, kind).flatten() for kind in "QKV"]
    mean = torch.cat(scores).mean().item()
    assert mean == pytest.approx(d_model**-0.5, rel=0.03)


@pytest.mark.parametrize(("rank", "decay"), [(1, 0.0), (5, 0.0), (5, 1.0)])
def test_squared_scores_average_to_one_over_d_model_whatever_the_spectrum(rank, decay):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    A = draw(24, rank) * torch.arange(rank).mul(-decay).exp() @ draw(rank, 24)
    B = draw(24, rank) @ draw(rank, 24)
    rotations = (circuits.random_rotation(24, seed) for seed in range(400))
    squares = torch.stack([(A @ R @ B).square().sum() / A.square().sum() / B.square().sum() for R in rotations])
    assert abs(squares.mean() - 1 / 24) < 4 * squares.std() / 400**0.5


def test_scores_do_not_depend_on_how_a_head_is_written(model):
    """W_Q M and W_K M⁻ᵀ are the same head; the norm of cyclically permuted factors is not the same."""
    M = torch.eye(8).double() + 0.3 * torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).double()
    W_Q, W_K, _, _ = models.head_weights(model, 1, 2)
    _, _, W_V, W_O = models.head_weights(model, 0, 1)
    right = lambda q, k: (W_V @ W_O @ k @ q.T).norm()
    wrong = lambda q, k: (q.T @ W_V @ W_O @ k).norm()
    written_otherwise = W_Q @ M, W_K @ M.inverse().T
    torch.testing.assert_close(right(*written_otherwise), right(W_Q, W_K))
    assert abs(wrong(*written_otherwise) / wrong(W_Q, W_K) - 1) > 0.05


@pytest.mark.parametrize(("d_model", "d_head"), [(64, 8), (64, 16), (128, 16)])
def test_what_chance_gives_the_wrong_program_of_the_notebook_depends_on_d_head(d_model, d_head):
    generator = torch.Generator().manual_seed(0)
    W_V, W_O, W_Q, W_K = torch.randn(4, 60, d_model, d_head, generator=generator)
    wrong = (W_Q.mT @ W_V @ (W_O.mT @ W_K)).norm(dim=(1, 2))
    wrong = wrong / (W_V @ W_O.mT).norm(dim=(1, 2)) / (W_K @ W_Q.mT).norm(dim=(1, 2))
    assert wrong.mean().item() == pytest.approx(d_head**0.5 / d_model, rel=0.04)


@pytest.mark.parametrize(("first", "second"), [((0, 0), (1, 3)), ((0, 2), (1, 1))])
def test_the_virtual_circuit_by_moving_a_token_twice(model, first, second):
    circuit = composition.virtual_ov_circuit(model, first, second)
    assert circuit.shape == (64, 64)
    for token in (3, 50):
        moved = model.W_E[token]
        for head in (first, second):
            _, _, W_V, W_O = models.head_weights(model, *head)
            moved = moved @ W_V @ W_O
        torch.testing.assert_close(circuit.AB[token], moved @ model.W_U)


def test_the_virtual_circuit_and_pattern_are_the_path_of_two_heads(model):
    tokens = torch.tensor([[0, 5, 9, 5, 33]])
    path = paths.path_expansion(model, tokens)["0:1 → 1:3"][0]
    _, cache = model.run_with_cache(tokens)
    virtual = paths.virtual_pattern(cache["pattern", 0][0, 1], cache["pattern", 1][0, 3])
    torch.testing.assert_close(virtual @ composition.virtual_ov_circuit(model, (0, 1), (1, 3)).AB[tokens[0]], path)


def test_the_k_composed_circuit_is_a_term_of_the_scores(model):
    tokens = torch.tensor([[0, 5, 9, 5, 33]])
    term = paths.attention_score_terms(model, tokens, 1, 3)["tokens", "0:1"][0]
    _, cache = model.run_with_cache(tokens)
    circuit = composition.k_composed_circuit(model, (0, 1), (1, 3)).AB
    torch.testing.assert_close(circuit[tokens[0]][:, tokens[0]] @ cache["pattern", 0][0, 1].T, term)


def test_kinds_and_layers_that_do_not_exist_are_refused(model):
    with pytest.raises(ValueError, match="there is no 'O'-composition: heads read what others wrote as Q, K, V"):
        composition.composition_scores(model, "O")
    with pytest.raises(ValueError, match="the first head must be in an earlier layer"):
        composition.composition_scores(model, "K", (1, 0))
    with pytest.raises(ValueError, match="there is no layer 2"):
        composition.composition_scores(model, "K", (0, 2))


@pytest.mark.parametrize("name", ["two-layer", *models.SMALL])
def test_induction_keys_are_built_by_the_previous_token_head_most_of_all(name):
    """In every trained model; by chance it would be one head in as many as a layer has."""
    model = models.load(name)
    twice = behaviour.repeated_tokens(model.cfg.d_vocab, 30, 2, 4, seed=0)
    _, cache = model.run_with_cache(twice)
    previous = behaviour.previous_token_score(cache["pattern", 0]).argmax()
    best = behaviour.prefix_matching_score(cache["pattern", 1], 30).argmax()
    scores = composition.composition_scores(model, "K") * model.cfg.d_model**0.5
    assert scores[:, best].argmax() == previous
    assert scores[previous, best] > 1.3  # five random models: at most 1.1


def test_wires_are_as_thick_as_their_values_and_none_below_zero():
    values = torch.tensor([[0.5, -1.0, 0.0], [0.0, 1.0, 0.25]])
    ax = figures.composition.wires(values, limit=2.0)
    assert [line.get_linewidth() for line in ax.lines] == [2.0, 4.0, 1.0]
    few = figures.composition.wires(torch.tensor([[0.05, 0.03, 2.0]]), limit=2.0)
    assert [line.get_linewidth() for line in few.lines] == [0.8, 8.0]
    assert [tuple(line.get_xdata()) for line in ax.lines] == [(0, 0), (1, 0.5), (1, 1)]
    assert [text.get_text() for text in ax.texts] == ["0:0", "0:1", "1:0", "1:1", "1:2"]


@pytest.mark.parametrize("draw", [figures.composition.wires, figures.basics.head_pairs])
def test_named_heads_are_bold_and_no_others(draw):
    ax = figures.composition.bold(draw(torch.eye(3), limit=1.0), ["1:0", "1:2"])
    ax.figure.canvas.draw()
    labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts]
    assert [label.get_text() for label in labels if label.get_fontweight() == "bold"] == ["1:0", "1:2"]


def test_a_key_says_how_thick_the_line_of_a_value_is():
    ax = figures.composition.thickness(
        figures.composition.wires(torch.eye(2), limit=2.0), [2.0, 0.5], limit=2.0, label="x"
    )
    (legend,) = ax.figure.legends
    assert [line.get_linewidth() for line in legend.get_lines()] == [8.0, 2.0]
    assert [text.get_text() for text in legend.get_texts()] == ["2", "0.5"]
    assert legend.get_title().get_text() == "x"


def test_grouped_bars_stand_side_by_side_with_their_spreads():
    means, spreads = torch.tensor([[1.0, -3.0], [2.0, 0.5]]), torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    ax = figures.composition.grouped(means, spreads, ["a", "b"], ["x", "y"], label="score")
    assert [bar.get_height() for bar in ax.patches] == [1.0, 2.0, -3.0, 0.5]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    assert centres == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    ends = [line.get_segments()[1][:, 1].tolist() for line in ax.collections]
    assert ends == [pytest.approx([1.7, 2.3]), pytest.approx([0.1, 0.9])]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x", "y"]


def test_signs_on_components_change_no_score(model):
    """A norm adds squares: what the second idea of the notebook rests on."""
    W_OV, W_QK = model.OV[0, 1].AB, model.QK[1, 2].AB
    v = torch.linalg.svd(W_OV).Vh[: model.cfg.d_head]
    signs = torch.tensor([1.0, -1.0] * 4).double()
    signed = W_OV @ (v.T * signs @ v)
    torch.testing.assert_close((signed @ W_QK).norm() / signed.norm(), (W_OV @ W_QK).norm() / W_OV.norm())
    assert (signed - W_OV).norm() > 0.5 * W_OV.norm()


@pytest.mark.parametrize("name", ["two-layer", *models.SMALL])
def test_the_highest_q_score_of_an_induction_head_is_that_of_the_head_its_queries_need_most(name):
    """Though two of the three models have it below chance: the place counts, not the level."""
    model = models.load(name)
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, 40, 2, 4, seed=3)
    left = []
    for head in range(model.cfg.n_heads):
        with model.hooks(fwd_hooks=interventions.unread(model, tokens, (0, head), "q")):
            left.append(behaviour.prefix_matching_score(model.run_with_cache(tokens)[1]["pattern", 1], 40))
    for _, reader in induction.induction_heads(model):
        assert torch.stack(left)[:, reader].argmin() == composition.composition_scores(model, "Q")[:, reader].argmax()


def test_advantage_query_by_query():
    tokens = behaviour.repeated_tokens(50, length=4, times=2, batch=3, seed=0)
    scores = torch.randn(3, 9, 9, generator=torch.Generator().manual_seed(0))
    found = []
    for row, table in zip(tokens.tolist(), scores):
        over = []
        for query in range(5, 9):
            right = row.index(row[query], 1, query) + 1
            over.append(table[query, right] - sum(table[query, : query + 1]) / (query + 1))
        found.append(sum(over) / 4)
    torch.testing.assert_close(composition.advantage(scores, 4), torch.stack(found))


def test_groups_add_up_to_the_scores(model):
    tokens = torch.tensor([[0, 5, 9, 5, 33]])
    terms = paths.attention_score_terms(model, tokens, 1, 3)
    groups = composition.by_group(terms)
    assert sorted(groups) == sorted(["Id ⊗ Id", "A ⊗ Id", "Id ⊗ A", "A ⊗ A"])
    torch.testing.assert_close(sum(groups.values()), sum(terms.values()))
    only = [terms[part, f"0:{head}"] for part in ("tokens", "positions") for head in range(4)]
    torch.testing.assert_close(groups["Id ⊗ A"], sum(only))


def test_each_pair_has_its_dot_and_the_ring_of_chance_and_some_have_names():
    across, up, by_chance = torch.arange(18.0).reshape(3, 2, 3)
    ax = figures.composition.against_chance(across, up, by_chance, x="score", y="ratio", named={"a to b": (1, 2)})
    rings, dots = ax.collections
    assert rings.get_offsets().tolist() == torch.stack([across.flatten(), by_chance.flatten()], -1).tolist()
    assert dots.get_offsets().tolist() == torch.stack([across.flatten(), up.flatten()], -1).tolist()
    (name,) = ax.texts
    assert (name.get_text(), name.xy) == ("a to b", (5, 11))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("score", "ratio")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["by chance", "as it is"]


def test_lengths_of_virtual_heads_are_those_of_the_two_heads_in_a_row(model):
    run = model.run_with_cache(torch.randint(1, 64, (1, 7), generator=torch.Generator().manual_seed(1)))[1]
    R = circuits.random_rotation(model.cfg.d_model, seed=5)
    for turn in (None, R):
        ratios = composition.virtual_head_ratios(model, run, turn)
        for first in range(model.cfg.n_heads):
            wrote = paths.head_output(
                run["pattern", 0][0, first], run["resid_pre", 0][0], *model_weights(model, 0, first)
            )
            wrote = wrote if turn is None else wrote @ turn
            for second in range(model.cfg.n_heads):
                W_V, W_O = model_weights(model, 1, second)
                moved_on = paths.head_output(run["pattern", 1][0, second], wrote, W_V, W_O)
                whole = paths.head_output(run["pattern", 1][0, second], run["resid_pre", 1][0], W_V, W_O)
                torch.testing.assert_close(ratios[first, second], moved_on.norm() / whole.norm())
    with pytest.raises(ValueError, match="must be in an earlier layer"):
        composition.virtual_head_ratios(model, run, layers=(1, 0))


def model_weights(model, layer, head):
    return models.head_weights(model, layer, head)[2:]


def test_rank_correlation_is_spearman_s():
    a, b = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    order = lambda x: [sorted(x.flatten().tolist()).index(value) for value in x.flatten().tolist()]
    gaps = sum((i - j) ** 2 for i, j in zip(order(a), order(b)))
    assert composition.rank_correlation(a, b) == pytest.approx(1 - 6 * gaps / (20 * (20**2 - 1)))
    assert composition.rank_correlation(a, a.exp()) == pytest.approx(1)
    assert composition.rank_correlation(a, -a) == pytest.approx(-1)


def test_maps_of_three_kinds_and_of_three_models_share_one_scale():
    scores = {kind: torch.full((3, 3), value) for kind, value in zip("QKV", (0.2, 0.5, 0.1))}
    axes = figures.composition.three_kinds(scores, 0.2, {kind: (-0.05, 0.05) for kind in "QKV"}, bold_names=["1:1"])
    assert [ax.get_title() for ax in axes] == ["Q-composition", "K-composition", "V-composition"]
    for ax in axes:
        assert ax.images[0].get_clim() == pytest.approx((-0.3, 0.3))
    assert [len(ax.lines[0].get_xdata()) for ax in axes] == [9, 0, 0]  # only Q lies where random pairs do
    ratios = {"a": torch.full((2, 2), 1.5), "b": torch.full((2, 2), 0.25)}
    axes = figures.composition.models_side_by_side(ratios, {"a": ["1:0"], "b": []})
    assert [ax.images[0].get_clim() for ax in axes] == [(-0.75, 0.75)] * 2
    assert [float(ax.images[0].get_array().mean()) for ax in axes] == [0.5, -0.75]


def test_wires_of_two_programs_are_drawn_to_one_scale():
    over = {(name, kind): torch.eye(2) * size for name, size in (("one", 1.0), ("two", 0.5)) for kind in "QKV"}
    axes = figures.composition.two_programs(over, bold_names=["1:0"])
    assert [ax.get_title() for ax in axes[::3]] == ["program one: Q", "program two: Q"]
    assert [ax.lines[0].get_linewidth() for ax in axes] == [8.0] * 3 + [4.0] * 3
    assert [text.get_text() for text in axes[0].figure.legends[0].get_texts()] == ["1", "0.5", "0.25", "0.1"]
