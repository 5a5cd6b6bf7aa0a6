"""The corpus: Python source that is on this disk anyway, cleaned, deduplicated, and cut into windows of tokens."""

import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import random
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from safetensors.torch import load, save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor

WEIGHTS = Path(__file__).parent / "weights"
STDLIB = "python"  # the name that the standard library goes by in the manifest
TRAINING = (
    STDLIB, "torch", "transformers", "sympy", "pandas", "numpy", "matplotlib", "transformer_lens", "datasets",
    "accelerate", "huggingface_hub", "IPython", "jupyter_server", "tornado", "fontTools", "pygments", "mpmath",
    "prompt_toolkit", "rich", "jedi", "_pytest", "PIL", "fsspec", "beartype",
)  # fmt: skip
HELD_OUT = ("networkx", "asyncio", "email")  # whole packages: no line of them is ever trained on
PACKAGE_LIMIT = 15_000_000  # characters of one package: keeps every package under a fifth of the whole
BOS = "<BOS>"

_NOT_SOURCE = re.compile(r"site-packages|idle_test|lib2to3|turtledemo|_pb2|_builtins|unicode_names|__pycache__")
_GENERATED = re.compile(r"(auto-?generated|generated (by|from)|automatically generated|do not edit)", re.I)
_LICENCE = re.compile(r"copyright|licen[cs]e|all rights reserved", re.I)


def source_files(package: str) -> list[Path]:
    """Every Python file of an installed package, sorted; `python` is the standard library without its tests.

    Raises ModuleNotFoundError if the package is not installed.
    """
    if package == STDLIB:
        root = Path(sysconfig.get_path("stdlib"))
        unwanted = {"test", "tests", *HELD_OUT}
        files = [f for f in root.rglob("*.py") if not unwanted & set(f.relative_to(root).parts)]
    else:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(
                f"the corpus needs the package {package!r}, which is not installed here: "
                "install the course with its tests, as the README says"
            )
        root = Path(spec.origin).parent
        files = root.rglob("*.py")
    base = root.parent if package != STDLIB else root
    return sorted(f for f in files if not _NOT_SOURCE.search(str(f.relative_to(base))))


def clean(text: str) -> str | None:
    """The file without its licence header, or None if it is generated or mostly data rather than code."""
    lines = text.split("\n")
    head = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    if _GENERATED.search("\n".join(lines[: head + 5])):
        return None
    if _LICENCE.search("\n".join(lines[:head])):
        lines = lines[head:]
    text = "\n".join(lines).strip() + "\n"
    docstring = re.match(r'[rub]*("""|\'\'\').*?\1\s*', text, re.S | re.I)
    if docstring and _LICENCE.search(docstring[0]):
        text = text[docstring.end() :]
    digits = sum(text.count(letter) for letter in set(text) if letter.isdigit())
    is_data = max(map(len, text.split("\n"))) > 1000 or digits > 0.15 * len(text)
    return None if is_data or len(text) < 200 else text


def documents(packages: Iterable[str], limit: int = PACKAGE_LIMIT) -> Iterator[tuple[str, str]]:
    """Pairs (package, cleaned text) of up to `limit` characters a package, in an order that is always the same.

    A top-level block (a function, a class) that already occurred, in any package, is left out: libraries copy
    their own code, and a model that has seen a block twice has learnt to recite it.
    """
    seen: set[bytes] = set()
    for package in packages:
        files = source_files(package)
        random.Random(package).shuffle(files)
        total = 0
        for file in files:
            text = clean(file.read_text(encoding="utf-8", errors="ignore"))
            if text is None:
                continue
            blocks = [(hashlib.md5(b.strip().encode()).digest(), b) for b in text.split("\n\n\n")]
            text = "\n\n\n".join(b for digest, b in blocks if digest not in seen)
            seen.update(digest for digest, _ in blocks)
            if len(text) < 200 or total + len(text) > limit:
                continue
            total += len(text)
            yield package, text


def learn_tokenizer(texts: Iterable[str], d_vocab: int = 4096) -> Tokenizer:
    """Byte-level BPE with `<BOS>` as token 0: any text at all has tokens, and no token is ever unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab, special_tokens=[BOS], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    return tokenizer


def windows(texts: Iterable[str], tokenizer: Tokenizer, n_ctx: int = 256) -> Int[Tensor, "window pos"]:
    """Rows of `<BOS>` and then n_ctx consecutive tokens of one file: n_ctx inputs, each with its next token.

    No row crosses from one file into another; the last, shorter piece of a file is left out.
    """
    tokenizer = Tokenizer.from_str(tokenizer.to_str())  # ours: TransformerLens leaves padding switched on in a model's
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = []
    for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
        tokens = np.asarray(encoding.ids, dtype=np.int16 if tokenizer.get_vocab_size() <= 2**15 else np.int32)
        rows.append(tokens[: len(tokens) // n_ctx * n_ctx].reshape(-1, n_ctx))
    rows = np.concatenate(rows)
    bos = np.full((len(rows), 1), tokenizer.token_to_id(BOS), dtype=rows.dtype)
    return torch.from_numpy(np.concatenate([bos, rows], axis=1))


def held_out(
    tokenizer: Tokenizer, packages: Iterable[str] = HELD_OUT, n_ctx: int = 256, limit: int = PACKAGE_LIMIT
) -> Int[Tensor, "window pos"]:
    """Windows of code that no shipped model was trained on, in the form of the training rows; `limit` in characters."""
    return windows((text for _, text in documents(packages, limit)), tokenizer, n_ctx)


def bigram_counts(rows: Int[Tensor, "window pos"], d_vocab: int) -> Int[Tensor, "first second"]:
    """How often each token is followed by each other one.

    The row of `<BOS>` counts how windows begin, and a window can begin anywhere in a file.
    """
    pairs = rows[:, :-1].long() * d_vocab + rows[:, 1:]
    return pairs.flatten().bincount(minlength=d_vocab**2).view(d_vocab, d_vocab)


def save_bigrams(counts: Int[Tensor, "first second"], file: Path) -> None:
    """Store a table of counts, most of which are zero, as safetensors in compressed sparse rows."""
    first, second = counts.nonzero(as_tuple=True)
    row_ends = first.bincount(minlength=len(counts)).cumsum(0)
    stored = {"row_ends": row_ends.int(), "second": second.short(), "count": counts[first, second].int()}
    file.write_bytes(save(stored))


def load_bigrams(file: Path = WEIGHTS / "bigrams.safetensors") -> Int[Tensor, "first second"]:
    """The bigram counts of the training corpus that ship with the course."""
    stored = load(file.read_bytes())
    d_vocab = len(stored["row_ends"])
    first = torch.arange(d_vocab).repeat_interleave(stored["row_ends"].diff(prepend=torch.zeros(1)).long())
    counts = torch.zeros(d_vocab, d_vocab, dtype=torch.long)
    counts[first, stored["second"].long()] = stored["count"].long()
    return counts


def version(package: str) -> str:
    """The installed version that provides a package, Python's own for the standard library and its parts."""
    if package == STDLIB or package in sys.stdlib_module_names:
        return platform.python_version()
    owners = importlib.metadata.packages_distributions()[package]
    return importlib.metadata.version(owners[0])


def build(folder: Path, d_vocab: int = 4096, n_ctx: int = 256) -> dict:
    """Write tokenizer.json, train.npy and manifest.json to a folder, unless they are there; the manifest.

    The tokenizer is learnt on the training part only. The manifest counts windows' tokens without `<BOS>`.
    """
    manifest_file = folder / "manifest.json"
    if manifest_file.exists():
        return json.loads(manifest_file.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    docs = list(documents(TRAINING))
    tokenizer = learn_tokenizer((text for _, text in docs), d_vocab)
    manifest = {"packages": {}, "held_out": {}}
    train = []
    for group, packages in (("packages", TRAINING), ("held_out", HELD_OUT)):
        for package in packages:
            texts = [text for name, text in (docs if group == "packages" else documents([package])) if name == package]
            rows = windows(texts, tokenizer, n_ctx)
            manifest[group][package] = {
                "version": version(package), "files": len(texts), "characters": sum(map(len, texts)),
                "tokens": rows[:, 1:].numel(),
                "sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
            }  # fmt: skip
            if group == "packages":
                train.append(rows)
    train = torch.cat(train)
    for key in ("files", "characters", "tokens"):
        manifest[key] = sum(entry[key] for entry in manifest["packages"].values())
    manifest["sha256"] = hashlib.sha256(train.numpy().tobytes()).hexdigest()
    tokenizer.save(str(folder / "tokenizer.json"))
    np.save(folder / "train.npy", train.numpy())
    manifest_file.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest
