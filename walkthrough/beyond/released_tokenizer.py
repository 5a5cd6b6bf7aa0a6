"""The tokenizer that a GGUF file describes: byte-level BPE, and the rule that the file names for splitting text first.

The rule matters: merges are made within its pieces only. Most models read numbers digit by digit, and a tokenizer without that
rule joins a digit with the blanks before it, which the model was never shown.
"""

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence
from transformers import PreTrainedTokenizerFast

CONTROL = 3  # among the token types of GGUF: a token that no text is to be split into, such as <|im_start|>


def splitter(rule: str) -> PreTokenizer:
    """What `tokenizer.ggml.pre` names, as in llama.cpp: the words of GPT-2; for "smollm", each digit by itself besides.

    Raises ValueError for other rules.
    """
    words = ByteLevel(add_prefix_space=False)
    rules = {"gpt-2": words, "smollm": Sequence([Digits(individual_digits=True), words])}
    if rule not in rules:
        raise ValueError(
            f"text is split by the rule {rule!r} before it is tokenized: only {', '.join(rules)} are known"
        )
    return rules[rule]


def described(said: dict) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file's fields, with its special tokens and chat template; it adds no `<BOS>` by itself.

    Bytes that have no token are dropped, as by the released tokenizer: of those that occur, six control characters and two rare
    first bytes.
    Raises ValueError for other kinds than byte-level BPE, and other rules than `splitter` knows.
    """
    kind = said.get("tokenizer.ggml.model")
    if kind != "gpt2" or said.get("tokenizer.ggml.add_space_prefix"):
        raise ValueError(
            f"this GGUF file has a tokenizer of the kind {kind!r}: only byte-level BPE ('gpt2') is understood"
        )
    tokens, types = said["tokenizer.ggml.tokens"], said["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in said["tokenizer.ggml.merges"]]
    made = Tokenizer(BPE({token: number for number, token in enumerate(tokens)}, merges))
    made.pre_tokenizer, made.decoder = splitter(said.get("tokenizer.ggml.pre", "")), Bytes()
    made.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, type in zip(tokens, types) if type == CONTROL]
    )
    named = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    special = {name: tokens[said[field]] for name, stored in named.items()
               if (field := f"tokenizer.ggml.{stored}_token_id") in said}  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=made, chat_template=said.get("tokenizer.chat_template"), clean_up_tokenization_spaces=False,
        **special,
    )  # fmt: skip
