"""The trainer's command line: `python -m walkthrough.training two-layer`, alone or under `accelerate launch`."""

import argparse
import dataclasses
from pathlib import Path

from accelerate import PartialState

from walkthrough.training import RECIPES, settled, train, write_model


def main() -> None:
    """The command line: which model, and the folder for corpus, checkpoints and the finished model."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training", description=main.__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--folder", type=Path, default=Path("trained"))
    parser.add_argument("--steps", type=int, help="fewer or more steps than the recipe's")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--float32", dest="bf16", action="store_false", default=None, help="else the faster one here"
    )
    precision.add_argument("--bfloat16", dest="bf16", action="store_true", default=None)
    arguments = parser.parse_args()
    recipe = dataclasses.replace(RECIPES[arguments.name], bf16=arguments.bf16)
    if arguments.steps:
        recipe = dataclasses.replace(recipe, steps=arguments.steps)
    try:
        recipe = settled(arguments.name, recipe, arguments.folder)
        model = train(arguments.name, recipe, arguments.folder)
        if PartialState().is_main_process:
            write_model(arguments.name, recipe, arguments.folder, model)
    except (FileExistsError, ValueError, ModuleNotFoundError) as refusal:
        parser.exit(1, f"{refusal}\n")


if __name__ == "__main__":
    main()
