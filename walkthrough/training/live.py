"""Training to watch: a small two-layer model that learns step by step, on the code of this disk, and can be changed meanwhile."""

import contextlib
import dataclasses
import hashlib
import json
import operator
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from walkthrough import behaviour, corpus
from walkthrough.models import PaperModel, config
from walkthrough.training.checkpoints import checkpoint_file, load_checkpoint, read_checkpoint, save_checkpoint
from walkthrough.training.forward import final_stream
from walkthrough.training.recipes import LIVE, Recipe, batch_rows
from walkthrough.training.trainer import Loss, optimisers
from walkthrough.training.variants import NETWORKS

NAME = "live"
CHARACTERS = 6_000_000  # of code: three seconds of reading, and more tokens than a run of two minutes uses
SAMPLE = 300  # files from which the tokenizer is learnt
LENGTH, PROMPTS = 50, 16  # random tokens said twice, on which heads are measured
Head = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Text:
    """What a live run reads: rows to train on, rows held out, and their tokenizer."""

    tokenizer: Tokenizer
    rows: Int[np.ndarray, "row pos"]
    held_out: Int[Tensor, "held_out_row pos"]

    @property
    def sha256(self) -> str:
        """Which text it is: rows differ between versions of Python."""
        return hashlib.sha256(self.rows.tobytes()).hexdigest()


def read_text(recipe: Recipe = LIVE, characters: int = CHARACTERS) -> Text:
    """The standard library of this Python as windows of tokens, in a few seconds, and a part of it held out.

    Raises ValueError if there is too little Python code on this disk to train on.
    """
    docs = [text for _, text in corpus.documents([corpus.STDLIB], characters)]
    if sum(map(len, docs)) < characters / 10:
        raise ValueError(
            f"this Python has only {sum(map(len, docs)):,} characters of its standard library as source code on this disk, "
            f"and the live run reads {characters:,}: use a Python that was installed with its .py files"
        )
    tokenizer = corpus.learn_tokenizer(docs[:SAMPLE], recipe.d_vocab)
    rows = corpus.windows(docs, tokenizer, recipe.n_ctx).numpy()
    return Text(tokenizer, rows, corpus.held_out(tokenizer, ["email"], recipe.n_ctx)[:32].long())


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """Tiny probabilities count as zero meanwhile: heads that look at one place only make many, and processors are slow with them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class LiveRun:
    """A training run that can be looked at, changed and left between any two steps.

    `history` holds what `measure` found, oldest first; `edits` every change of a head, as (step, "ablate" or "restore",
    head), so that a run can be repeated with `edits=`. With a `folder`, `save` leaves there what the next step depends
    on, and the next run of the same recipe goes on from it.
    """

    def __init__(
        self, recipe: Recipe = LIVE, text: Text | None = None, *, folder: Path | str | None = None,
        edits: list[tuple[int, str, Head]] = (), model: PaperModel | None = None,
    ) -> None:  # fmt: skip
        """Raises ValueError for a folder that cannot be written, or that holds a run of another recipe or text."""
        self.recipe, self.text = recipe, text or read_text(recipe)
        self.model = model or NETWORKS[recipe.network](config(**recipe.shape), recipe.seed)
        self.learnt = [p for p in self.model.parameters() if p.requires_grad]
        self.optimisers = optimisers(self.model, recipe)
        self.loss_of = Loss(self.model, bf16=False)
        self.step, self.seconds, self.history = 0, 0.0, []
        self.watched = False  # whether a monitor trains it at present
        self.silent: set[Head] = set()
        self.edits: list[tuple[int, str, Head]] = []
        self.planned = sorted(((step, what, tuple(head)) for step, what, head in edits), key=lambda edit: edit[0])
        self.length = min(LENGTH, recipe.n_ctx // 2)
        self.twice = behaviour.repeated_tokens(recipe.d_vocab, self.length, 2, PROMPTS, seed=1)
        self.file = None if folder is None else checkpoint_file(writable(Path(folder)), NAME)
        if self.file is not None and self.file.exists():
            self.resume()

    @property
    def tokens(self) -> int:
        """How many tokens the run has learnt from."""
        return self.step * self.recipe.batch * self.recipe.n_ctx

    @property
    def finished(self) -> bool:
        """Whether the recipe's last step is taken."""
        return self.step >= self.recipe.steps

    def identity(self) -> dict:
        """What a checkpoint must agree with."""
        return {"recipe": dataclasses.asdict(self.recipe), "corpus": self.text.sha256}

    def advance(self) -> float:
        """One step of training; its loss in nats. Raises ValueError after the recipe's last step, and MemoryError."""
        if self.finished:
            raise ValueError(
                f"the run has taken all {self.recipe.steps:,} steps of its recipe: make another LiveRun, of more steps"
            )
        start = time.perf_counter()
        while self.planned and self.planned[0][0] <= self.step:
            _, change, head = self.planned.pop(0)
            {"ablate": self.ablate, "restore": self.restore}[change](head)
        for kind, peak in (("adam", self.recipe.adam_lr), ("muon", self.recipe.muon_lr)):
            self.optimisers[kind].param_groups[0]["lr"] = peak * self.recipe.lr_factor(self.step)
        rows = np.sort(batch_rows(len(self.text.rows), self.recipe, self.step))
        with without_denormals(), enough_memory():
            loss = self.loss_of(torch.from_numpy(self.text.rows[rows].astype(np.int64)))
            for p in self.learnt:
                p.grad = None
            loss.backward()
            nn.utils.clip_grad_norm_(self.learnt, 1.0)
            for optimiser in self.optimisers.values():
                optimiser.step()
        self.step += 1
        self.seconds += time.perf_counter() - start
        return loss.item()

    def ablate(self, head: Head) -> None:
        """From now on, the head adds nothing to the stream, and learns nothing; ValueError if there is no such head."""
        head = self.change("ablate", head)
        self.silent.add(head)
        self.forget_momentum(*head)

    def restore(self, head: Head) -> None:
        """From now on, the head works again, with the weights that it had."""
        self.silent.discard(self.change("restore", head))

    def change(self, what: str, head: Any) -> Head:
        """Note an edit of this head; ValueError if that is none, or one that the model does not have."""
        try:
            layer, number = (operator.index(part) for part in head)
        except (TypeError, ValueError):
            raise ValueError(f"{head!r} is no head: give layer and head, like (1, 2) for head 1:2") from None
        if not (0 <= layer < self.recipe.n_layers and 0 <= number < self.recipe.n_heads):
            raise ValueError(
                f"there is no head {layer}:{number}: the run has layers 0 to {self.recipe.n_layers - 1}, "
                f"each with heads 0 to {self.recipe.n_heads - 1}"
            )
        self.edits.append((self.step, what, (layer, number)))
        self.loss_of.silent = self.silent
        return layer, number

    def forget_momentum(self, layer: int, head: int) -> None:
        """What Muon remembers of a head's gradients would go on moving weights that have no gradient any more."""
        attn, width = self.model.layers[layer].attn, self.model.cfg.d_head
        here = slice(head * width, (head + 1) * width)
        for name, rows in (("q", True), ("k", True), ("v", True), ("o", False)):
            state = self.optimisers["muon"].state.get(getattr(attn, name).weight, {})
            if "momentum_buffer" in state:
                (state["momentum_buffer"] if rows else state["momentum_buffer"].mT)[here] = 0

    @torch.no_grad()
    def patterns(self, tokens: Int[Tensor, "batch pos"]) -> tuple[Float[Tensor, "batch pos d_model"], list[Tensor]]:
        """The last stream, and each layer's patterns, [batch head query key]."""
        patterns: list[Tensor] = []
        return final_stream(self.model, tokens, self.silent, patterns), patterns

    @torch.no_grad()
    def measure(self) -> dict:
        """Losses in nats on held-out text and on the second copy of random tokens; scores of every head, [layer][head].

        Previous-token and prefix-matching scores are measured on the random tokens (`behaviour`); appended to `history`.
        """
        with enough_memory():
            stream, patterns = self.patterns(self.twice[:, :-1])
        copies = behaviour.loss_per_position(self.model.head(stream), self.twice)
        found = {
            "step": self.step, "tokens": self.tokens, "seconds": self.seconds,
            "text_loss": self.loss_of(self.text.held_out).item(),
            "first_copy_loss": copies[:, : self.length].mean().item(),
            "second_copy_loss": copies[:, self.length :].mean().item(),
            "previous_token": [behaviour.previous_token_score(p).tolist() for p in patterns],
            "prefix_matching": [behaviour.prefix_matching_score(p, self.length).tolist() for p in patterns],
            "silent": [list(head) for head in sorted(self.silent)],
        }  # fmt: skip
        self.history.append(found)
        return found

    def save(self) -> None:
        """Leave the run in its folder, if it has one."""
        if self.file is not None:
            notes = {key: getattr(self, key) for key in ("seconds", "history", "edits")}
            notes["silent"] = sorted(self.silent)
            save_checkpoint(self.file, self.model, self.optimisers, self.step, self.identity(), notes)

    def resume(self) -> None:
        """Go on from what `save` left."""
        self.step = load_checkpoint(self.file, self.model, self.optimisers, self.identity())
        notes = json.loads(read_checkpoint(self.file)[0]["notes"])
        self.seconds, self.history = notes["seconds"], notes["history"]
        self.edits = [(step, what, tuple(head)) for step, what, head in notes["edits"]]
        self.planned = [edit for edit in self.planned if edit not in self.edits]
        self.silent |= {tuple(head) for head in notes["silent"]}
        self.loss_of.silent = self.silent


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Turn torch's words for a full memory into a MemoryError of one sentence."""
    try:
        yield
    except (RuntimeError, MemoryError) as refusal:
        if isinstance(refusal, RuntimeError) and "allocate memory" not in str(refusal):
            raise
        raise MemoryError(
            "this computer has too little free memory for a step of training: close other notebooks' kernels, or take a "
            "recipe with a smaller batch; the run is as it was after its last step"
        ) from None


def writable(folder: Path) -> Path:
    """The folder, made if need be; ValueError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as refusal:
        raise ValueError(
            f"the live run cannot keep its checkpoints in {folder} ({refusal.strerror}): give a folder that you may "
            "write to, or none, and the run is kept in memory only"
        ) from None
    return folder
