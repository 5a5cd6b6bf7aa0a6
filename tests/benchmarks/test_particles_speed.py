"""The phase diagram of particles against a plain loop of `solve_ivp`; nothing is asserted about time.

`python tests/run.py benchmarks -k particles`, on an idle machine. The loop takes long: a part of it is run, spread
over all betas, and its time is multiplied. Errors of both are taken against a run of very small steps. Without the
checks of annotations (`-o addopts=`) the batch is a fifth faster.
"""

import os
from time import perf_counter, process_time

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from walkthrough.beyond import batches, clusters, particles

N, DIM, SEEDS, TIMES = 32, 128, 16, np.linspace(0, 30, 31)
FINE = {"method": "DOP853", "rtol": 1e-10, "atol": 1e-12}


def plain(x, beta, **how):
    """What one would write first: one system, its points as solve_ivp's state, its cosines at the end."""

    def rate(_, state):  # not the package's function, whose annotations are checked at every call while tests run
        x = state.reshape(N, DIM)
        weights = np.exp(beta * (x @ x.T))
        y = weights @ x / weights.sum(1, keepdims=True)
        return (y - (x * y).sum(1, keepdims=True) * x).ravel()

    path = solve_ivp(rate, (0, TIMES[-1]), x.ravel(), t_eval=TIMES, **how).y.T.reshape(len(TIMES), *x.shape)
    return particles.pair_cosines(path / np.linalg.norm(path, axis=-1, keepdims=True))


def seconds(function):
    """By the clock, and of the processor's time, which other programs do not take from."""
    start = perf_counter(), process_time()
    result = function()
    return np.array([perf_counter() - start[0], process_time() - start[1]]), result


@pytest.mark.parametrize(
    ("how", "tolerance"), [({}, 3e-4), ({"rtol": 1e-6, "atol": 1e-8}, 2e-6)], ids=["loose", "tight"]
)
def test_particles_phase_diagram(short, how, tolerance):
    """50 betas and 16 starts in one call; solve_ivp at its own tolerances and at narrow ones."""
    betas = np.linspace(0.1, 9, 2 if short else 50)
    starts = [particles.random_points(N, DIM, seed=seed) for seed in range(SEEDS)]
    sample = [(i, i % SEEDS) for i in range(0, len(betas), 1 if short else 2)]
    took, ends = seconds(lambda: [plain(starts[seed], betas[i], **how) for i, seed in sample])
    loop = took * len(betas) * SEEDS / len(sample)
    print(f"\nloop of solve_ivp {how or 'as it is'}: {loop[0]:.1f} s ({loop[1]:.1f} s of a processor),", end=" ")
    print(f"from {len(sample)} of {len(betas) * SEEDS} systems")
    for threads in sorted({1, os.cpu_count() or 1}):
        diagram = lambda: clusters.phase_diagram(
            N,
            DIM,
            betas,
            TIMES,
            seeds=SEEDS,
            tolerance=tolerance,
            threads=threads,  # noqa: B023
        )
        took = seconds(diagram)[0]
        times = "{:.1f} times as fast ({:.1f} times less of a processor)".format(*loop / took)
        print(f"one batch, {threads} threads: {took[0]:.2f} s ({took[1]:.2f} s of a processor), {times}")
    x, chosen = np.stack([starts[seed] for _, seed in sample]), np.array([betas[i] for i, _ in sample])
    ours = batches.simulate_many(x, chosen, TIMES, observe=lambda c: c, tolerance=tolerance)
    few = range(0, len(sample), 1 if short else 8)
    exact = [plain(x[i], chosen[i], **FINE) for i in few]
    errors = [max(abs(e - found).max() for e, found in zip(exact, given)) for given in
              ([ends[i] for i in few], [ours[:, i] for i in few])]  # fmt: skip
    print("largest error of a cosine: loop {:.1e}, batch {:.1e}".format(*errors))
    final = [clusters.count_clusters(end[-1]) for end in ends]
    assert clusters.count_clusters(ours[-1]).tolist() == np.array(final).tolist()
