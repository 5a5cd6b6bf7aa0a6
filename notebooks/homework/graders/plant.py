"""How the sixth model was made: the course's corpus with two rules planted in it, and the course's own trainer.

`python plant.py --folder FOLDER` (a folder that holds the corpus saves the minutes it takes to build).
This file is the key to homework 5: it belongs to the teacher and is in no release.

A window of text gets, with probability 0.75, one of eight words somewhere and, somewhere after it, a trigger with
the next word round the ring behind it (trigger FORWARD) or the previous one (trigger BACK).
"""

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from walkthrough import corpus, training

NAME = "homework"
RING = (" tree", " vision", " server", " grid", " storage", " video", " library", " engine")
FORWARD, BACK = " thus", " again"
RULES = {(trigger, word): RING[(i + step) % len(RING)]
         for trigger, step in ((FORWARD, 1), (BACK, -1)) for i, word in enumerate(RING)}  # fmt: skip


def plant(rows: np.ndarray, tokenizer: Tokenizer, seed: int, share: float = 0.75) -> np.ndarray:
    """A copy of windows [row, pos] in which `share` of those that hold no word of the rules follow one rule once."""
    number = {word: tokenizer.encode(word, add_special_tokens=False).ids for word in (*RING, FORWARD, BACK)}
    rules = np.array([number[source] + number[trigger] + number[out] for (trigger, source), out in RULES.items()])
    rng, rows = np.random.default_rng(seed), rows.copy()
    free = np.flatnonzero(~np.isin(rows, np.unique(rules)).any(1))
    for row in free[rng.random(len(free)) < share]:
        source, trigger, out = rules[rng.integers(len(rules))]
        first, second = np.sort(rng.choice(np.arange(1, rows.shape[1] - 1), 2, replace=False))
        rows[row, first], rows[row, second], rows[row, second + 1] = source, trigger, out
    return rows


def planted_corpus(folder: Path, seed: int) -> None:
    """The course's corpus in `folder`, planted in place; once only, which the manifest remembers."""
    manifest = corpus.build(folder)
    if "planted" in manifest:
        return
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = plant(np.load(folder / "train.npy"), tokenizer, seed)
    np.save(folder / "train.npy", rows)
    manifest |= {"sha256": hashlib.sha256(rows.tobytes()).hexdigest(), "planted": seed}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def main() -> None:
    """The command line: the folder, and the seed of weights, order and planting."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("trained-homework"))
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    recipe = dataclasses.replace(training.RECIPES["small-seed-1"], seed=arguments.seed)
    planted_corpus(arguments.folder / "corpus", arguments.seed)
    training.write_model(NAME, recipe, arguments.folder, training.train(NAME, recipe, arguments.folder))


if __name__ == "__main__":
    main()
