"""Several processes, on one machine or on several, that PyTorch's `torchrun` starts: each does its share of the steps.

    torchrun --standalone --nproc-per-node 2 -m walkthrough.beyond.processes smollm2 scores.safetensors

Two machines: the same line on both, with `--nnodes 2 --rdzv-backend c10d --rdzv-endpoint FIRST:29500` for `--standalone`.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import gather_object
from safetensors.torch import save_file

from walkthrough.beyond.positivity import k_composed_positivities, ov_positivities
from walkthrough.beyond.scale import all_pairs_scores
from walkthrough.models import load


def over_processes(function: Callable, steps: Sequence) -> list:
    """As `map`, in a program that torchrun started: each process takes its share, and each has all results.

    In a program started otherwise it is `map`.
    """
    with PartialState(cpu=True).split_between_processes(list(steps)) as share:
        return gather_object([function(step) for step in share])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: a model that `load` knows, and the file to write the scores and eigenvalue positivities to."""
    parser = argparse.ArgumentParser(
        prog="torchrun … -m walkthrough.beyond.processes", description="Scores of all pairs of heads."
    )
    parser.add_argument("model", help="its name, as for walkthrough.models.load")
    parser.add_argument("file", type=Path, help="what to write, as safetensors")
    asked = parser.parse_args(arguments)
    model = load(asked.model)
    found = {
        "scores": all_pairs_scores(model, mapped=over_processes),
        "ov": ov_positivities(model),
        "k_composed": k_composed_positivities(model, mapped=over_processes),
    }
    state = PartialState()
    if state.is_main_process:
        save_file({name: each.contiguous() for name, each in found.items()}, asked.file)
        print(f"{asked.file}: {', '.join(found)}, by {state.num_processes} processes")


if __name__ == "__main__":
    main()
