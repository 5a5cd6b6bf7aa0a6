"""What every explorer shares: prompts, and the kernel's answers."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from walkthrough import models
from walkthrough.architecture import EVERYTHING, described, refusal
from walkthrough.figures.basics import visible
from walkthrough.widgets.page import Page, pack, table
from walkthrough.widgets.shipped import engine_models

__all__ = [
    "Explorer", "beyond_the_paper", "excerpt", "named", "pack", "prompt_tokens", "quoted", "shown", "table", "the_model",
    "within",
]  # fmt: skip


def shown(tokens: Sequence[str]) -> list[str]:
    """Tokens with spaces and line breaks to be seen."""
    return [token.replace(r"\$", "$") for token in visible(tokens)]


def quoted(token: str) -> str:
    """A token in quotation marks, for a sentence."""
    return f"“{shown([token])[0]}”"


def excerpt(prompt: str) -> str:
    """A prompt's first words in quotation marks, for a sentence."""
    return f"“{textwrap.shorten(prompt, 60, placeholder=' …')}”"


def the_model(model: Any, beyond: bool = False) -> Any:
    """The model, loaded if it is named; ValueError if it is not of the paper's kind, or `beyond`, if it has no heads."""
    if isinstance(model, str):
        model = models.load(model)
    if not isinstance(model, models.TransformerBridge):
        raise ValueError(f"there is no model in {type(model).__name__}: give one that `models.load` gives, or its name")
    if not beyond and (not model.cfg.attn_only or model.cfg.normalization_type):
        raise ValueError(f"{model.cfg.model_name} has MLPs or LayerNorm: this explorer is for attention-only models")
    if not beyond and (missed := beyond_the_paper(model)):
        raise ValueError(refusal("this explorer", model.cfg.model_name, missed))
    if model.cfg.n_layers == 0:
        raise ValueError(
            f"{model.cfg.model_name} has no layers, and so no heads to look at: give a model that has some"
        )
    if model.tokenizer is None:
        raise ValueError(
            f"{model.cfg.model_name} has no tokenizer to read a prompt with: give `models.bridge` one, for example "
            "`models.load_tokenizer()`"
        )
    return model


def beyond_the_paper(model: Any) -> list[str]:
    """What a model has that the paper's formulas for streams, values and logits leave out, in words."""
    return described(model).words(set(EVERYTHING) - {"positions", "scores", "patterns"})


def within(choice: Any, count: int, otherwise: int = 0) -> int:
    """What was chosen of `count`, if there is such a one; as in the page."""
    return choice if isinstance(choice, int) and 0 <= choice < count else otherwise


def named(model: Any, ids: Tensor) -> list[str]:
    """The texts of tokens; bytes that are no character by themselves go by the number of their token: �17."""
    texts = model.to_str_tokens(ids, prepend_bos=False)
    return [f"{text}{token}" if "�" in text else text for token, text in zip(ids.tolist(), texts)]


def prompt_tokens(model: Any, prompt: str) -> Tensor:
    """A prompt's ids, `<BOS>` first, as one batch; ValueError for an empty prompt and for one longer than the context."""
    if not prompt:
        raise ValueError("the prompt is empty: type some text, for example: for i in")
    return model.to_tokens(prompt)


class Explorer(Page):
    """An interactive figure of a model and a prompt, live in JupyterLab, and alive too in saved and exported pages.

    The first prompt is shown; others are stored with it, and a page without a kernel can show them. If the models are those
    that ship, such a page also runs them itself (static/engine), and answers as the kernel would. Where the model is
    unknown, or the prompt empty or too long, the widget says so in one sentence. `view` holds what was chosen last.
    """

    def __init__(self, prompts: str | Sequence[str], **view: Any) -> None:
        self.data: dict[str, Any] = {}
        try:
            self.data = self.fixed()
            given = [prompts] if isinstance(prompts, str) or not isinstance(prompts, Iterable) else list(prompts)
            if not given or not all(isinstance(prompt, str) for prompt in given):
                raise ValueError("prompts are texts, one or more: give some, for example: for i in")
            self.data["prompts"] = {prompt: self.look(prompt) for prompt in given}
            self.data["order"] = list(self.data["prompts"])  # a page would put a prompt like "42" first
            if found := engine_models(self.models if hasattr(self, "models") else {"": self.model}):
                self.data["engine"] = {"explorer": self.script.removesuffix(".js"), "models": found}
        except ValueError as refusal:
            self.data = {"error": str(refusal)}
        self.given = list(self.data.get("prompts", {}))
        super().__init__(self.data, **view)

    def fixed(self) -> dict[str, Any]:
        """What does not depend on the prompt."""
        return {}

    def look(self, prompt: str) -> dict[str, Any]:
        """What is to be seen of a prompt; ValueError in one sentence if nothing is."""
        raise NotImplementedError

    def answer(self, question: dict[str, Any]) -> Any:
        """The answer to a question of the page; here, a new prompt."""
        prompt = question["prompt"]
        kept = {text: self.data["prompts"][text] for text in self.given}
        prompts = kept | {prompt: self.look(prompt)}
        self.data = self.data | {"prompts": prompts, "order": list(prompts)}
        self.view = self.view | {"prompt": prompt}
        self.packed = pack(self.data)

    def heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Answer a message of the page."""
        try:
            reply = {"answer": self.answer(content["question"])}
        except ValueError as refusal:
            reply = {"error": str(refusal)}
        except Exception as fault:
            self.send({"id": content["id"], "error": f"The kernel could not answer that: {fault}"})
            raise
        self.send({"id": content["id"], **reply})

    def shown_prompt(self) -> str:
        """The prompt that is shown: the chosen one if it is stored, else the first; ValueError if nothing is shown."""
        if "error" in self.data:
            raise ValueError(self.data["error"])
        chosen = self.view.get("prompt")
        return chosen if chosen in self.data["order"] else self.data["order"][0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data.get('error') or ', '.join(map(repr, self.data['prompts']))})"
