"""The shipped runs of particles: `python -m walkthrough.beyond.particle_runs [FILE]` makes them, in about a minute."""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from walkthrough.beyond.clusters import cluster_counts, phase_diagram

FILE = Path(__file__).parent.parent / "weights" / "particles.safetensors"
N_TOKENS, SEEDS = 32, 64
DIMS = (2, 8, 128)
BETAS, TIMES = np.linspace(0.1, 9, 60), np.linspace(0, 30, 76)
COUNTED_DIMS, COUNTED_BETAS = (2, 3, 8), np.array([1.0, 2.0, 3.0, 4.0, 6.0, 9.0])
COUNTED_TIMES = np.array([0.0, 1, 3, 10, 30, 100, 300])


def make(betas: np.ndarray = BETAS, times: np.ndarray = TIMES, seeds: int = SEEDS) -> dict[str, np.ndarray]:
    """All of it: `diagram_2`, `diagram_8`, `diagram_128`, `betas`, `times`; `counts_2`, `counts_3`, `counts_8`.

    Diagrams [time, beta] are shares of pairs, counts [time, beta, seed] numbers of clusters, at `COUNTED_TIMES` and
    `COUNTED_BETAS`. Starts are `random_points(32, dim, seed=s)`.
    """
    made = {"betas": betas, "times": times}
    for dim in DIMS:
        made[f"diagram_{dim}"] = phase_diagram(N_TOKENS, dim, betas, times, seeds=seeds).astype(np.float32)
    for dim in COUNTED_DIMS:
        counts = cluster_counts(N_TOKENS, dim, COUNTED_BETAS, COUNTED_TIMES, seeds=seeds)
        made[f"counts_{dim}"] = counts.astype(np.uint8)
    return made


def load_diagram(
    dim: int,
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " beta"], Float[np.ndarray, "time beta"]]:
    """Times, betas and the share of pairs with a cosine above 0.999, over 64 starts of 32 tokens; SA, not causal.

    Raises ValueError for a dimension that does not ship.
    """
    if dim not in DIMS:
        raise ValueError(f"phase diagrams of {DIMS} dimensions ship, not of {dim}: `phase_diagram` makes others")
    stored = load_file(FILE)
    return stored["times"], stored["betas"], stored[f"diagram_{dim}"].astype(np.float64)


def load_counts(dim: int) -> np.ndarray:
    """The number of clusters [time, beta, seed] at `COUNTED_TIMES` and `COUNTED_BETAS`, of 32 tokens.

    Raises ValueError for a dimension other than 2, 3 and 8.
    """
    if dim not in COUNTED_DIMS:
        raise ValueError(f"counts in {COUNTED_DIMS} dimensions ship, not in {dim}: `cluster_counts` makes others")
    return load_file(FILE)[f"counts_{dim}"].astype(int)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", default="particles.safetensors", type=Path)
    save_file(make(), parser.parse_args().file)
