"""What particles end in, on the circle and without a sphere, each number by a slower road; and the figures of it."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from walkthrough import figures
from walkthrough.beyond import circle, clusters, particle_runs, particles, unnormalised


def test_clusters_are_chains_of_near_tokens():
    angles = np.array([0.0, 0.04, 0.08, 2.0, 2.01, 4.0])
    cosines = particles.pair_cosines(circle.on_circle(angles))
    assert cosines[0, 2] < 0.999 < cosines[0, 1]
    assert clusters.count_clusters(cosines) == 3
    assert clusters.count_clusters(np.stack([cosines, np.ones((6, 6))])).tolist() == [3, 1]
    assert clusters.count_clusters(cosines, above=0.9999) == 5


def test_the_phase_diagram_is_a_share_of_pairs_of_single_runs():
    betas, times = np.array([0.5, 4.0]), np.array([0.0, 3.0, 6.0])
    diagram = clusters.phase_diagram(6, 3, betas, times, seeds=4, threads=2)
    for i, beta in enumerate(betas):
        near = np.zeros(3)
        for seed in range(4):
            cosines = particles.simulate(particles.random_points(6, 3, seed=seed), beta, times).cosines
            near += [sum(c[a, b] > 0.999 for a, b in itertools.combinations(range(6), 2)) / 15 for c in cosines]
        np.testing.assert_allclose(diagram[:, i], near / 4, atol=0.02)
    assert diagram[0].max() == 0 < diagram[2].max()


@pytest.mark.parametrize("kind", ["SA", "USA"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_orthogonal_tokens_stay_at_equal_angles_and_follow_their_equation(kind, beta):
    times = np.linspace(0, 1.5, 7)
    cosines = particles.simulate(np.eye(10), beta, times, kind=kind).cosines
    off = cosines[:, ~np.eye(10, dtype=bool)]
    gamma = clusters.equiangular_cosine(10, beta, times, kind=kind)
    np.testing.assert_allclose(off, np.tile(gamma[:, None], (1, 90)), atol=1e-6)
    reached = float(gamma[3])
    assert clusters.equiangular_time(10, beta, reached, kind=kind) == pytest.approx(times[3], abs=1e-6)


def test_what_tokens_at_equal_angles_cannot_have_is_refused():
    for given, sentence in (((1, 1.0), "two tokens"), ((4, -1.0), "at least 0"), ((3, 1.0, 1.0), "does not reach")):
        with pytest.raises(ValueError, match=sentence):
            clusters.equiangular_time(*given)
    with pytest.raises(ValueError, match=r"between -0\.500 and 1"):
        clusters.equiangular_cosine(3, 1.0, np.array([0.0, 1.0]), start=-0.6)


@pytest.mark.parametrize(("n", "d"), [(3, 2), (6, 2), (5, 3), (3, 3), (2, 5)])
def test_wendels_probability_is_the_share_of_random_draws(n, d):
    """In the plane by angles: some gap between neighbours is above pi."""
    draws = particles.random_points(400, n, d, seed=n)
    shares = [clusters.in_hemisphere(x) for x in draws]
    assert np.mean(shares) == pytest.approx(clusters.hemisphere_probability(n, d), abs=0.08)
    if d == 2:
        angles = np.sort(circle.angles_of(draws), 1)
        gaps = np.diff(np.concatenate([angles, angles[:, :1] + 2 * math.pi], 1), axis=1)
        assert (gaps.max(1) > math.pi).tolist() == shares


def test_tokens_of_one_hemisphere_come_together_at_rate_one():
    run = particles.simulate(particles.random_points(6, 8), 1.0, np.linspace(8, 12, 9) - 8 * 0)
    assert clusters.in_hemisphere(run.x[0])
    late = particles.simulate(run.x[-1], 1.0, np.linspace(0, 4, 9))
    assert clusters.spread_rate(late.times, late.x) == pytest.approx(1, abs=0.02)
    x = np.array([[[1.0, 0], [-1, 0]], [[0.5, 0], [-0.5, 0]], [[0.25, 0], [-0.25, 0]]])
    assert clusters.spread_rate(np.array([0.0, 1, 2]), x) == pytest.approx(math.log(2))


@pytest.mark.parametrize("kind", ["SA", "USA"])
@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_angles_turn_as_points_move(kind, beta):
    angles, times = np.random.default_rng(0).uniform(-3, 3, 9), np.linspace(0, 2, 5)
    rate = lambda t, theta: circle.angle_velocity(theta, beta, kind=kind)
    theta = solve_ivp(rate, (0, 2), angles, t_eval=times, rtol=1e-9, atol=1e-11).y.T
    run = particles.simulate(circle.on_circle(angles), beta, times, kind=kind)
    np.testing.assert_allclose(circle.on_circle(theta), run.x, atol=1e-6)
    np.testing.assert_allclose(np.exp(1j * circle.angles_of(run.x)), np.exp(1j * theta), atol=1e-6)


def test_without_beta_they_are_kuramotos_oscillators():
    """Each is drawn to the mean's angle psi, as strongly as the mean is long: r sin(psi - theta)."""
    angles = np.random.default_rng(1).uniform(-3, 3, 12)
    mean = np.exp(1j * angles).mean()
    slow = abs(mean) * np.sin(np.angle(mean) - angles)
    for kind in ("SA", "USA"):
        np.testing.assert_allclose(circle.angle_velocity(angles, 0, kind=kind), slow, atol=1e-14)
    assert circle.order_parameter(angles) == pytest.approx(abs(mean))
    assert circle.order_parameter(np.zeros(4)) == 1


def test_a_free_run_is_the_unscaled_equation():
    rng = np.random.default_rng(0)
    x, V, QK = rng.standard_normal((6, 2)), np.array([[0.7, 0.2], [-0.1, 0.3]]), np.array([[1.0, 0.5], [0.0, 0.8]])
    times = np.array([0, 0.5, 1.5])

    def rate(_, state):
        x = state.reshape(6, 2)
        out = np.zeros_like(x)
        for i in range(6):
            weights = np.array([math.exp(x[i] @ QK @ x[j]) for j in range(6)])
            out[i] = V @ (weights / weights.sum() @ x)
        return out.ravel()

    slow = solve_ivp(rate, (0, 1.5), x.ravel(), t_eval=times, rtol=1e-10, atol=1e-12).y.T.reshape(3, 6, 2)
    run = unnormalised.simulate_free(x, times, V=V, QK=QK)
    np.testing.assert_allclose(run.x, slow, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run.pattern.sum(-1), 1)
    weights = np.exp(slow[2, 1] @ QK @ slow[2].T)
    np.testing.assert_allclose(run.pattern[2, 1], weights / weights.sum(), atol=1e-5)


def test_with_the_identity_all_tokens_end_at_corners():
    for seed in range(3):
        run = unnormalised.simulate_free(np.random.default_rng(seed).standard_normal((40, 2)), np.array([0.0, 8.0]))
        places = unnormalised.distinct(run.z[-1], 0.05)
        assert 2 < len(places) < 10
        assert unnormalised.corners(places).all()


def test_on_a_line_attention_becomes_boolean_and_of_rank_two():
    x = np.random.default_rng(0).standard_normal((20, 1))
    run = unnormalised.simulate_free(x, np.array([0.0, 9.0]))
    assert unnormalised.boolean_rows(run.pattern[0]).sum() < 5
    assert unnormalised.boolean_rows(run.pattern[1]).sum() >= 19
    assert set(run.pattern[1].argmax(1)) == {int(x.argmin()), int(x.argmax())}
    assert np.linalg.matrix_rank(run.pattern[1], tol=0.05) == 2


def test_with_a_leading_eigenvalue_tokens_end_in_three_lines_at_most():
    V = np.array([[1.0, 0.3], [0.2, 0.4]])
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((20, 2))
        run = unnormalised.simulate_free(x, np.array([0.0, 9.0]), V=V)
        along = unnormalised.leading_coordinate(run.z[-1], V)
        assert len(unnormalised.distinct(along[:, None], 0.05)) <= 3 < len(unnormalised.distinct(x, 0.05))
    with pytest.raises(ValueError, match="simple, real and positive"):
        unnormalised.leading_coordinate(x, np.array([[0.0, 1.0], [-1.0, 0.0]]))
    left = unnormalised.leading_coordinate(x @ V.T, V) / unnormalised.leading_coordinate(x, V)
    np.testing.assert_allclose(left, np.linalg.eigvals(V).real.max())


def test_with_minus_the_identity_they_collapse_as_one_over_the_root_of_time():
    """Once their mean is 0 and they are small, their covariance C has dC/dt = -2 C^2: eigenvalues near 1 / (2t)."""
    x = np.random.default_rng(0).standard_normal((30, 2))
    run = unnormalised.simulate_free(x, np.array([0.0, 500.0]), V=-np.eye(2))
    end = run.x[-1]
    np.testing.assert_allclose(np.linalg.eigvalsh(end.T @ end / 30) * 2 * 500, 1, atol=0.05)


def test_free_runs_refuse_what_does_not_fit():
    x, times = np.zeros((3, 2)), np.array([0.0, 1.0])
    for how, sentence in (({"V": np.eye(2) * np.nan}, "NaN"), ({"times": times + 1}, "from 0")):
        with pytest.raises(ValueError, match=sentence):
            unnormalised.simulate_free(**{"x": x, "times": times} | how)


def test_a_part_of_the_shipped_runs_made_again():
    times, betas, diagram = particle_runs.load_diagram(8)
    column = 20
    again = clusters.phase_diagram(32, 8, betas[[column]], times, seeds=particle_runs.SEEDS)
    np.testing.assert_allclose(again[:, 0], diagram[:, column], atol=0.005)
    counts = particle_runs.load_counts(2)
    which, until = [1, 3], 4
    betas, times = particle_runs.COUNTED_BETAS[which], particle_runs.COUNTED_TIMES[:until]
    fresh = clusters.cluster_counts(32, 2, betas, times, seeds=6)
    assert (fresh == counts[:until, which, :6]).mean() > 0.95
    for load in (particle_runs.load_diagram, particle_runs.load_counts):
        with pytest.raises(ValueError, match="ship"):
            load(5)


def test_what_makes_the_shipped_runs_makes_all_of_them(monkeypatch):
    monkeypatch.setattr(particle_runs, "COUNTED_TIMES", np.array([0.0, 1.0]))
    made = particle_runs.make(np.array([1.0]), np.array([0.0, 1.0]), seeds=1)
    assert set(made) == {"betas", "times", *(f"diagram_{d}" for d in (2, 8, 128)), *(f"counts_{d}" for d in (2, 3, 8))}
    assert made["counts_3"].shape == (2, 6, 1)


def test_the_figures_show_what_they_are_given():
    x = particles.random_points(2, 5, 3)
    panels = figures.particles.moments(x, ["a", "b"], hues=np.linspace(0, 1, 5))
    np.testing.assert_allclose(panels[1].collections[0].get_offsets(), x[1, :, :2])
    times = np.array([1.0, 2.0, 4.0])
    ax = figures.particles.over_time(times, {"one": times**2}, y="y", marks={"dots": (times[:1], times[:1])})
    assert list(ax.lines[0].get_ydata()) == [1, 4, 16]
    assert list(ax.lines[1].get_ydata()) == [1]
    share = np.arange(6).reshape(3, 2) / 6
    (ax,) = figures.particles.phase_maps({"d": share}, times, np.array([1.0, 2.0]), crossing=np.ones(2), named="line")
    np.testing.assert_allclose(ax.collections[0].get_array(), share)
    (ax,) = figures.particles.cluster_shares({"d": np.array([[1, 1, 2, 9], [3, 3, 3, 7]])}, [1, 2])
    assert [[bar.get_height() for bar in group] for group in ax.containers] == [
        [0.5, 0], [0.25, 0], [0, 0.75], [0, 0], [0.25, 0.25],
    ]  # fmt: skip
    upper, lower = figures.particles.staircase(times, times, np.array([3, 2, 1]), top=5)
    assert list(upper.lines[0].get_ydata()) == [1, 2, 4]
    assert list(lower.lines[0].get_ydata()) == [3, 2, 1]
    z = np.zeros((4, 3, 2))
    (ax,) = figures.particles.shapes({"p": (z, np.array([True, False, False]))})
    assert [len(line.get_xdata()) for line in ax.lines[-2:]] == [2, 1]
    plt.close("all")


def test_the_drawings_have_their_parts():
    ax = figures.diagrams.tangent_force()
    assert [patch.get_gid() for patch in ax.patches].count("pull") == 2
    ax = figures.diagrams.layers_as_time(3)
    assert [patch.get_gid() for patch in ax.patches].count("layer") == 3
    plt.close("all")
    with pytest.raises(ValueError, match="n_layers"):
        figures.diagrams.layers_as_time(0)
