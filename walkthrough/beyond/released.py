"""Models that people use, as the course's bridges: SmolLM2 from a pip package, any local folder, and two families from the hub.

They are not the paper's: RMSNorm or LayerNorm with gains, MLPs, biases or rotary positions, and some share a key matrix
among heads. TransformerLens wraps what transformers loads; nothing is folded, so the logits are transformers' own.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from walkthrough.beyond.released_store import unpacked_smollm2
from walkthrough.models import HUB, CourseBridge, check_length


class ReleasedBridge(CourseBridge):
    """A `CourseBridge` around a model of transformers: `model.original_model` is that model, its submodules now bridged.

    A prompt starts with `tokenizer.bos_token`, once, unless `cfg.default_prepend_bos` is false: so TransformerLens has it
    for models that learnt without one. SmolLM2 learnt text as documents that <|endoftext|> parts, and then conversations,
    whose every message begins with <|im_start|>, which is its BOS: plain text after that is a little strange to it at first.
    """

    def to_tokens(self, input, prepend_bos=None, padding_side=None, move_to_device=True, truncate=False):
        """As in TransformerLens, but what does not fit the context is refused, and `<BOS>` is put before no other.

        A chat template writes `<BOS>` itself. `prepend_bos=False` leaves the text as it is.
        """
        bos = self.tokenizer.bos_token
        if bos and (self.cfg.default_prepend_bos if prepend_bos is None else prepend_bos):
            input = input.removeprefix(bos) if isinstance(input, str) else [text.removeprefix(bos) for text in input]
        return super().to_tokens(input, prepend_bos, padding_side, move_to_device, truncate)

    def forward(self, input, *args, **kwargs):
        """As in TransformerLens, after a check that the tokens fit the context: with rotary positions, any number would run."""
        if isinstance(input, Tensor) and not input.is_floating_point():
            check_length(input.shape[-1], self.cfg.n_ctx)
        return super().forward(input, *args, **kwargs)


def boot(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> ReleasedBridge:
    """Wrap a model of transformers; it is given away: its submodules are replaced, so use the bridge from now on."""
    wrapped = CourseBridge.boot_transformers(
        name, hf_model=model.eval().requires_grad_(False), tokenizer=tokenizer, device="cpu", dtype=torch.float32
    )
    wrapped.__class__ = ReleasedBridge  # as in models.bridge
    return wrapped


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Without transformers' own progress bar, which runs for a fraction of a second and would stay in a notebook."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def sentence(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def folder_kind(folder: Path) -> str:
    """What transformers calls the kind of model in a folder; ValueError if there is none, or it knows no such kind."""
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"there is no model in {folder}: a folder with config.json, *.safetensors and a tokenizer is needed"
        )
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} holds no model that transformers knows: {sentence(error)}") from error


def folder_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder; ValueError if there is none: of some models, transformers would make an empty one.

    Where there is a tokenizer.json, it is followed: AutoTokenizer takes only its tokens for kinds of models that have
    a class of their own, and splits text by that class's rule.
    """
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise ValueError(f"{folder} has no tokenizer: put tokenizer.json and tokenizer_config.json beside the weights")
    library = PreTrainedTokenizerFast if (folder / "tokenizer.json").exists() else AutoTokenizer
    try:
        try:  # as TransformerLens asks for it, which otherwise reads the files again
            tokenizer = library.from_pretrained(folder, local_files_only=True, add_bos_token=True)
        except ValueError:  # there is no <BOS> to add
            tokenizer = library.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library's parsers raise many kinds, plain Exception among them
        raise ValueError(f"the tokenizer in {folder} cannot be read: {sentence(error)}") from error
    if len(tokenizer) == 0:
        raise ValueError(f"the tokenizer in {folder} has no tokens: its files are damaged, or of another model")
    if tokenizer.bos_token is None and tokenizer.eos_token is None:
        raise ValueError(f"the tokenizer in {folder} names neither bos_token nor eos_token, so no prompt could start")
    return tokenizer


def folder_weights(folder: Path, kind: str) -> PreTrainedModel:
    """The model in a folder, float32; ValueError where transformers would crash, or fill gaps with random weights."""
    if not list(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} has no weights: put model.safetensors there (pickled weights are never opened)")
    try:
        with without_bars():
            model, said = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except SafetensorError as error:
        raise ValueError(f"the weights in {folder} are damaged: {sentence(error)}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"the {kind!r} model in {folder} cannot be loaded: {sentence(error)}") from error
    wrong = {what: sorted(map(str, said[f"{what}_keys"])) for what in ("missing", "unexpected", "mismatched")}
    if any(wrong.values()):
        told = "; ".join(f"{what}: {', '.join(keys[:3])}" for what, keys in wrong.items() if keys)
        raise ValueError(f"the weights in {folder} do not fit its config.json ({told}): they belong to another model")
    return model


def load_folder(folder: Path, name: str = "") -> ReleasedBridge:
    """A model from a local folder with config.json, safetensors and a tokenizer, as `save_pretrained` writes them.

    No network is used, and no code from the folder is run. The weights are mapped: leave the files as they are meanwhile.
    Raises ValueError for a folder or files that are missing, damaged, of unknown kind, or do not fit one another.
    """
    kind = folder_kind(folder)
    tokenizer = folder_tokenizer(folder)
    model = folder_weights(folder, kind)
    if len(tokenizer) > model.config.get_text_config().vocab_size:
        raise ValueError(f"the tokenizer in {folder} has more tokens than the model: its files belong to another model")
    try:
        return boot(model, tokenizer, name or folder.name)
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"TransformerLens cannot wrap a {kind!r} model: {sentence(error)}") from error


def load_hub(name: str) -> CourseBridge:
    """A model that only the Hugging Face hub has; ValueError where that cannot be reached."""
    try:
        if "/" in name:
            wrapped = CourseBridge.boot_tl_legacy(name, device="cpu")
            wrapped.__class__ = CourseBridge
            wrapped.requires_grad_(False)
            return wrapped
        return boot(
            AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32), AutoTokenizer.from_pretrained(name), name
        )
    except Exception as error:  # without a network: half a dozen kinds, of three libraries
        raise ValueError(
            f"{name!r} is skipped offline: it is on the Hugging Face hub, which did not answer ({sentence(error)}); "
            "'smollm2' needs no hub"
        ) from error


def load_released(name: str | Path) -> CourseBridge:
    """ "smollm2", a model of the hub (`models.HUB`), or the path of a local folder; `models.load` calls it.

    Raises ValueError for what cannot be loaded, with one sentence that says why.
    """
    if name == "smollm2":
        return load_folder(unpacked_smollm2(), name)
    return load_hub(name) if name in HUB else load_folder(Path(name).expanduser())
