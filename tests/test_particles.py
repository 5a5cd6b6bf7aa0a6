"""Particles on the sphere, each number by a slower road."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from walkthrough.beyond import batches, clusters, particles

KINDS = [("SA", False), ("SA", True), ("USA", False), ("USA", True)]


def slow_velocity(x, beta, kind, causal):
    """Token by token, pair by pair."""
    out = np.zeros_like(x)
    for i in range(len(x)):
        others = range(i + 1) if causal else range(len(x))
        weights = [math.exp(beta * float(x[i] @ x[j])) for j in others]
        total = sum(weights) if kind == "SA" else len(weights)
        y = sum(weight / total * x[j] for weight, j in zip(weights, others))
        out[i] = y - (x[i] @ y) * x[i]
    return out


@pytest.mark.parametrize(("kind", "causal"), KINDS)
@pytest.mark.parametrize("beta", [0, 1.5, 9.0])
def test_the_velocity_is_that_of_a_loop_over_pairs(kind, causal, beta):
    x = particles.random_points(7, 3, seed=1)
    found = particles.velocity(x, beta, kind=kind, causal=causal)
    np.testing.assert_allclose(found, slow_velocity(x, beta, kind, causal), atol=1e-12 * math.exp(beta))
    np.testing.assert_allclose((found * x).sum(-1), 0, atol=1e-12 * math.exp(beta))


@pytest.mark.parametrize(("kind", "causal"), KINDS)
def test_the_jacobian_is_that_of_differences(kind, causal):
    x, step = particles.random_points(4, 3, seed=2), 1e-6
    rate = lambda state: particles.velocity(state.reshape(x.shape), 2.0, kind=kind, causal=causal).ravel()
    columns = [(rate(x.ravel() + step * e) - rate(x.ravel() - step * e)) / (2 * step) for e in np.eye(x.size)]
    found = particles.velocity_jacobian(x, 2.0, kind=kind, causal=causal)
    np.testing.assert_allclose(found, np.stack(columns, 1), atol=1e-8)


def test_many_systems_have_the_velocities_that_each_has_by_itself():
    x, beta = particles.random_points(3, 5, 4), np.array([0.0, 2.0, 7.0])
    together = particles.velocity(x, beta)
    for system in range(3):
        np.testing.assert_allclose(together[system], particles.velocity(x[system], beta[system]), atol=1e-14)


def test_the_velocity_is_the_slope_of_a_small_step_of_attention_and_normalisation():
    """What a layer does: x + dt * pattern @ x, and every token put back on the sphere."""
    x, dt = particles.random_points(6, 3), 1e-6
    scores = 2.0 * x @ x.T
    pattern = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    moved = x + dt * pattern @ x
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose((moved - x) / dt, particles.velocity(x, 2.0), atol=1e-5)


def test_the_energy_is_a_mean_over_pairs_and_has_its_limit_at_beta_zero():
    x = particles.random_points(5, 3)
    slow = np.mean([math.exp(3 * float(a @ b)) for a in x for b in x]) / 6
    assert particles.interaction_energy(x, 3.0) == pytest.approx(slow)
    tiny = 1e-7
    assert particles.interaction_energy(x, 0.0) == pytest.approx(
        float(particles.interaction_energy(x, tiny)) - 1 / (2 * tiny), abs=1e-6
    )
    assert particles.interaction_energy(np.tile(x[:1], (5, 1)), 3.0) == pytest.approx(math.exp(3) / 6)


@pytest.mark.parametrize("kind", ["SA", "USA"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 9.0])
def test_energy_never_decreases_and_tokens_stay_on_the_sphere(kind, beta):
    run = particles.simulate(particles.random_points(16, 3), beta, np.linspace(0, 4, 41), kind=kind)
    energy = particles.interaction_energy(run.x, beta)
    assert (np.diff(energy) > -1e-9 * energy[-1]).all()
    assert energy[-1] > energy[0] + 0.01 * abs(energy[0])
    assert run.drift < 1e-5
    np.testing.assert_allclose(np.linalg.norm(run.x, axis=-1), 1, atol=1e-14)


def test_integrators_agree_and_their_calls_are_counted(monkeypatch):
    calls = {"velocity": 0, "velocity_jacobian": 0}
    for name in calls:
        honest = getattr(particles, name)

        def counted(*args, name=name, honest=honest, **how):
            calls[name] += 1
            return honest(*args, **how)

        monkeypatch.setattr(particles, name, counted)
    x, times, ends = particles.random_points(8, 2, seed=3), np.linspace(0, 2, 5), {}
    for method in ("LSODA", "BDF", "Radau", "DOP853"):
        calls.update(velocity=0, velocity_jacobian=0)
        run = particles.simulate(x, 4.0, times, kind="USA", method=method)
        assert (run.evaluations, run.jacobians) == (calls["velocity"], calls["velocity_jacobian"])
        assert run.evaluations > 0
        ends[method] = run.x
    for found in ends.values():
        np.testing.assert_allclose(found, ends["DOP853"], atol=1e-5)


def test_stiff_systems_cost_an_implicit_method_far_fewer_evaluations():
    x, times = particles.random_points(12, 2, seed=0), np.array([0.0, 1.0])
    cost = {
        method: particles.simulate(x, 8.0, times, kind="USA", method=method, rtol=1e-6, atol=1e-9).evaluations
        for method in ("LSODA", "RK45")
    }
    assert 10 * cost["LSODA"] < cost["RK45"]


@pytest.mark.parametrize("kind", ["SA", "USA"])
def test_special_starts(kind):
    """One token stays, two opposite ones, too; causally the first token never moves, whoever follows."""
    times = np.linspace(0, 5, 3)
    one = particles.simulate(np.array([[0.0, 1.0]]), 1.0, times, kind=kind)
    assert (one.x == [0.0, 1.0]).all()
    opposite = particles.simulate(np.array([[0.0, 1.0], [0.0, -1.0]]), 3.0, times, kind=kind)
    np.testing.assert_array_equal(opposite.x, np.tile([[0.0, 1.0], [0.0, -1.0]], (3, 1, 1)))
    line = particles.simulate(np.array([[1.0], [1.0], [-1.0]]), 1.0, times, kind=kind)
    assert (line.x[-1].ravel() == [1, 1, -1]).all()
    start = particles.random_points(5, 3)
    causal = particles.simulate(start, 1.0, times, kind=kind, causal=True)
    np.testing.assert_allclose(causal.x[:, 0], np.tile(start[0], (3, 1)), atol=1e-9)
    assert abs(causal.x[-1, 1:] - start[1:]).max() > 0.1


X = particles.random_points(3, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": 1.1 * X}, "divide each point by its length"),
        ({"x": X * [np.nan, 1]}, "NaN"),
        ({"beta": -1.0}, "from 0 to 500"),
        ({"beta": math.nan}, "from 0 to 500"),
        ({"beta": 60.0, "kind": "USA"}, "from 0 to 50"),
        ({"times": np.array([0.0, 0.0])}, "above the one before"),
    ],
)
def test_bad_input_gets_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        particles.simulate(**{"x": X, "beta": 1.0, "times": np.array([0.0, 1.0])} | change)


@pytest.mark.parametrize(
    ("x", "beta", "sentence"),
    [
        (X[0], 1.0, r"\[token, dim\]"),
        (X[:0], 1.0, r"\[token, dim\]"),
        (X.astype(np.float32), 1.0, "float64"),
        (np.stack([X, X]), np.ones(3), "one for each"),
    ],
)
def test_arrays_of_another_shape_are_refused(x, beta, sentence):
    with pytest.raises(ValueError, match=sentence):
        particles.require_system(x, beta)
    with pytest.raises(ValueError, match="'SA' or 'USA'"):
        particles.require_system(X, 1.0, "softmax")


def test_a_shape_needs_tokens_and_dimensions():
    with pytest.raises(ValueError, match="at least 1"):
        particles.random_points(3)


def test_random_points_have_no_direction():
    x = particles.random_points(20_000, 3)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(x.T @ x / len(x), np.eye(3) / 3, atol=0.02)


@pytest.mark.parametrize(
    ("dim", "kind", "causal"), [(2, "SA", False), (2, "USA", False), (20, "SA", True), (9, "SA", False)]
)
def test_a_batch_gives_what_each_system_gives_by_itself(dim, kind, causal):
    x, beta = particles.random_points(66, 9, dim, seed=4), np.linspace(0, 3, 66)
    times = np.array([0, 0.5, 2, 2.5, 15])
    seen = batches.simulate_many(x, beta, times, kind=kind, causal=causal)
    assert seen.shape == (5, 66, 36)
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    for system in (0, 7, 40, 65):
        rate = lambda t, y: slow_velocity(y.reshape(9, dim), beta[system], kind, causal).ravel()  # noqa: B023
        path = solve_ivp(rate, (0, 15), x[system].ravel(), t_eval=times, rtol=1e-7, atol=1e-8).y.T.reshape(5, 9, dim)
        path /= np.linalg.norm(path, axis=-1, keepdims=True)
        slow = np.array([[float(at[i] @ at[j]) for i, j in pairs] for at in path])
        np.testing.assert_allclose(seen[:, system], slow, atol=1e-5)


def test_a_batch_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match="increase from 0"):
        batches.simulate_many(X[None], 1.0, np.array([1.0, 2.0]))
    still = batches.simulate_many(X[None], 1.0, np.array([0.0]))
    np.testing.assert_allclose(still[0, 0], [X[0] @ X[1], X[0] @ X[2], X[1] @ X[2]])


def test_a_batch_and_a_loop_end_in_the_same_clusters():
    betas, times = np.array([0.5, 2.0, 9.0]), np.array([0.0, 20.0])
    counts = clusters.cluster_counts(12, 16, betas, times, seeds=3)
    for i, beta in enumerate(betas):
        for seed in range(3):
            x = particles.random_points(12, 16, seed=seed)
            end = particles.simulate(x, beta, times, method="RK45").cosines[-1]
            assert counts[1, i, seed] == clusters.count_clusters(end)
    assert (counts[0] == 12).all()
