"""The shipped curves of smaller networks: `python -m walkthrough.beyond.smaller_runs [FOLDER]`, 17 minutes of one core.

Broken off, it goes on where it was. Ranks, heads and edges are chosen on texts of the training packages; losses are on
102,400 tokens of packages that no model was trained on, as differences from the whole model, window by window.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from walkthrough import models
from walkthrough.beyond import smaller_healing as healing
from walkthrough.beyond import smaller_measured as measured
from walkthrough.beyond.smaller import KINDS, read_moments
from walkthrough.beyond.smaller_importance import cut_step_by_step, mean_outputs, rank_costs
from walkthrough.beyond.smaller_measured import (
    CONTROLS,
    METHODS,
    PREVIOUS,
    SOME,
    cut_network,
    healed,
    paired,
)
from walkthrough.beyond.smaller_network import FILE, save_small, small_network

RESULTS = FILE.with_name("smaller_curves.json")
SHARES = (0.9, 0.85, 0.8, 0.7, 0.65, 0.6, 0.5)  # of the attention's 524,288 parameters
HEALED = (0.8, 0.65, 0.5)
FINAL, FINAL_STEPS = 0.85, 160  # of the network that ships
LONG_STEPS = 600  # of the half-size network that shows what patience gains


def load_curves(file: Path = RESULTS) -> dict:
    """All that `python -m walkthrough.beyond.smaller_runs` measured."""
    return json.loads(file.read_text(encoding="utf-8"))


class Record:
    """Results in a JSON file, written after each entry, so that a run that is broken off goes on."""

    def __init__(self, file: Path):
        self.file, self.found = file, load_curves(file) if file.exists() else {"seconds": {}}

    def entry(self, name: str, make: Callable[[], object]) -> object:
        """The entry of this name, made now if there is none; with it, the processor's seconds."""
        if name not in self.found:
            start = time.process_time()
            self.found[name] = make()
            self.found["seconds"][name] = round(time.process_time() - start, 1)
            self.file.write_text(json.dumps(self.found) + "\n", encoding="utf-8")
            print(name, self.found["seconds"][name], flush=True)
        return self.found[name]


class Runs:
    """The whole model, the texts, and what was found out by measuring: all that a point of a curve needs."""

    def __init__(self, folder: Path):
        self.folder, self.record = folder, Record(folder / RESULTS.name)
        self.model, self.split = models.load("two-layer"), measured.split_texts()
        self.whole = small_network(self.model).window_losses(self.split["held out"])
        self.total = 4 * self.model.cfg.n_layers * self.model.cfg.d_model**2

    def learn(self) -> None:
        """What is worth how much, and the ranks of each share: `known`."""
        model, rows = self.model, self.split["measure"]
        moments, means = (of(model, self.split[name][:, :-1]) for of, name in
                          ((read_moments, "read"), (mean_outputs, "measure")))  # fmt: skip
        worths = self.record.entry("worths", lambda: measured.worths(model, rows, means))
        start = {
            circuit: model.cfg.d_head for circuit in moments if circuit not in [("QK", *head) for head in PREVIOUS]
        }
        costs = lambda ranks: rank_costs(model, rows[:6], ranks, PREVIOUS, moments)
        budgets = [int(share * self.total) for share in SHARES]

        def path() -> list[list[list[int]]]:
            """Ranks for each share, [kind layer head], 0 for no scores."""
            rounds = cut_step_by_step(costs, start, model.cfg.d_model, budgets)
            met = [r["ranks"] for r in rounds if r["loss"] is None]
            return [[[[ranks.get((kind, layer, head), 0) for head in range(model.cfg.n_heads)]
                      for layer in range(model.cfg.n_layers)] for kind in KINDS] for ranks in met]  # fmt: skip

        tables = self.record.entry("ranks", lambda: dict(zip(map(str, SHARES), path())))
        of = lambda table: {(kind, la, h): table[KINDS.index(kind)][la][h] for kind, la, h in start}
        heads = dict(zip(means, worths["heads"]))
        near = [
            head for head, cost in zip(heads, worths["far keys"]) if cost < measured.NEAR_COST and head not in PREVIOUS
        ]
        self.known = {"moments": moments, "means": means, "start": start, "heads": heads, "edges": worths["edges"],
                      "near": near, "ranks": {float(share): of(table) for share, table in tables.items()}}  # fmt: skip

    def point(self, method: str, share: float, heal: bool = False) -> None:
        """A point of a curve, before its healing and, if wanted, after."""
        model, held_out = self.model, self.split["held out"]
        net = cut_network(model, method, share, self.known)
        numbers = int(share * self.total) if method == "magnitude" else net.attention_numbers()
        row = {"method": method, "share": share, "numbers": numbers}
        cut = lambda: row | {"healed": False} | paired(net.window_losses(held_out[SOME]), self.whole[SOME])
        before = self.record.entry(f"{method}, {share}", cut)

        def after() -> dict:
            """The same network, trained on."""
            healed(net, method, before["cost"], self.split["heal"], model)
            return row | {"healed": True} | paired(net.window_losses(held_out), self.whole)

        if heal:
            self.record.entry(f"{method}, {share}, healed", after)

    def long(self) -> dict:
        """The half-size network, healed ten times as long."""
        net = cut_network(self.model, METHODS[0], 0.5, self.known)
        healing.heal(net, self.split["heal"], LONG_STEPS, small_network(self.model), lr=2e-3)
        row = {
            "method": METHODS[0],
            "share": 0.5,
            "numbers": net.attention_numbers(),
            "healed": True,
            "steps": LONG_STEPS,
        }
        return row | paired(net.window_losses(self.split["held out"]), self.whole)

    def small(self):
        """The network that ships, before its healing."""
        return small_network(
            self.model, self.known["ranks"][FINAL], PREVIOUS, self.known["near"], moments=self.known["moments"]
        )

    def ship(self) -> dict:
        """The network that ships, healed for longer, as it is read from its file."""
        net = healing.heal(self.small(), self.split["heal"], FINAL_STEPS, small_network(self.model), lr=4e-4)
        small = save_small(net, self.folder / FILE.name, self.model)
        row = {
            "method": "shipped",
            "share": FINAL,
            "numbers": small.attention_numbers(),
            "healed": True,
            "steps": FINAL_STEPS,
        }
        return row | paired(small.window_losses(self.split["held out"]), self.whole)

    def speed(self) -> dict:
        """Tokens a second of all networks of the curves: values of the weights do not matter, and so none is healed."""
        nets = {"nothing cut": small_network(self.model), "shipped": self.small()}
        nets |= {f"{method}, {share}": cut_network(self.model, method, share, self.known)
                 for method in METHODS[:-1] for share in HEALED}  # fmt: skip
        both = self.small()
        both.unembed = small_network(self.model, unembed_rank=192).unembed
        return measured.speeds(self.model, nets | {"shipped, unembedding of rank 192": both}, self.split["held out"])


def main() -> None:
    """The command line: the folder for results and the small network."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", nargs="?", default=".", type=Path)
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    runs = Runs(parser.parse_args().folder)
    entry, split, model = runs.record.entry, runs.split, runs.model
    runs.learn()
    healing_rows = split["heal"][: 4 * LONG_STEPS]
    entry("shared runs", lambda: {n: measured.shared_runs(split[n], healing_rows) for n in ("held out", "measure")})
    for share in SHARES:
        runs.point(METHODS[0], share, share in HEALED)
    entry("shipped", runs.ship)
    entry("other cuts", lambda: measured.other_cuts(model, runs.known, split["held out"][SOME]))
    for share in HEALED:
        for method in METHODS[1:]:
            runs.point(method, share, True)
    for method in CONTROLS:
        runs.point(method, HEALED[0], True)

    def control() -> dict:
        """The whole network, trained on as the others are."""
        net = healed(small_network(model), "nothing cut", 0.0, split["heal"], model)
        row = {"method": "nothing cut", "share": 1.0, "numbers": runs.total, "healed": True}
        return row | paired(net.window_losses(split["held out"]), runs.whole)

    entry("nothing cut, healed", control)
    entry("unembedding", lambda: measured.unembeddings(model, split))
    entry("half, healed for long", runs.long)
    entry("speed", runs.speed)


if __name__ == "__main__":
    main()
