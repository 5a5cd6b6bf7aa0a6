"""How the sixth model was made: the course's corpus with two rules planted in it, and the course's own trainer.

`python plant.py --folder FOLDER` (a folder that holds the corpus saves the minutes it takes to build).
This file is the key to homework 5: it belongs to the teacher and is in no release.

Every window of text is cut into SLOTS; in each slot stands one of six words and, a little after it, a trigger with the
next word round the ring behind it (trigger FORWARD) or the previous one (trigger BACK). With a single rule in a window,
at any distance, as tried first, a model of this size learnt which words a trigger calls for, and no rule.

What came of it: one head (1:2) attends from either trigger to the word and calls for both its neighbours, half and half.
A single head cannot let the trigger choose (the paper's skip-trigram bug): 12 rules were planted, and 24 are in the model.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from walkthrough import corpus, training

NAME = "homework"
RING = (" tree", " server", " grid", " video", " library", " engine")
SLOTS = 8
FORWARD, BACK = " thus", " again"
RULES = {(trigger, word): RING[(i + step) % len(RING)]
         for trigger, step in ((FORWARD, 1), (BACK, -1)) for i, word in enumerate(RING)}  # fmt: skip


def plant(rows: np.ndarray, tokenizer: Tokenizer, seed: int) -> np.ndarray:
    """A copy of windows [row, pos] in which each that holds no word of the rules follows one rule in every slot."""
    number = {word: tokenizer.encode(word, add_special_tokens=False).ids for word in (*RING, FORWARD, BACK)}
    rules = np.array([number[source] + number[trigger] + number[out] for (trigger, source), out in RULES.items()])
    rng, rows = np.random.default_rng(seed), rows.copy()
    free = np.flatnonzero(~np.isin(rows, np.unique(rules)).any(1))
    slots = np.linspace(1, rows.shape[1], SLOTS + 1).astype(int)
    for row in free:
        for start, end in itertools.pairwise(slots):
            source, trigger, out = rules[rng.integers(len(rules))]
            gap = int(np.exp(rng.uniform(0, np.log(end - start - 2))))
            first = rng.integers(start, end - 1 - gap)
            rows[row, [first, first + gap, first + gap + 1]] = source, trigger, out
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
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


def main() -> None:
    """The command line: the folder, and the seed of weights, order and planting."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("trained-homework"))
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    recipe = dataclasses.replace(training.RECIPES["small-seed-1"], seed=arguments.seed)
    planted_corpus(arguments.folder / "corpus", arguments.seed)
    training.write_model(NAME, recipe, arguments.folder, training.train(NAME, recipe, arguments.folder))


if __name__ == "__main__":
    main()
