#!/usr/bin/env bash
# transformers 5.23.0: the tokenizer of a GGUF file splits text by GPT-2's rule, whatever rule the file names.
#
# `tokenizer.ggml.pre` names the rule by which text is cut before merges are made; llama.cpp follows it. transformers reads
# tokens, merges, special tokens and template from the same file, but not that field. For "smollm" every numeral is a piece
# of its own, so of the blanks before a number all belong together; GPT-2's rule joins the last of them with the number. The
# ids differ, no warning is given, and the model gets blanks that it was never shown.
# Met with SmolLM2-135M-Instruct: two blanks or two newlines before a digit.
# (A smaller download: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu has PyTorch without CUDA.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.23.0 tokenizers==0.23.3 gguf==0.19.0 torch==2.13.0
cd "$folder"
HF_HUB_OFFLINE=1 venv/bin/python - <<'END'
import sys

import gguf
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

tokens = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠĠ", "ĊĊ"]
merges = ["Ġ Ġ", "Ċ Ċ"]
for rule in ("smollm", "gpt-2"):
    writer = gguf.GGUFWriter(f"{rule}.gguf", "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

digits = pre_tokenizers.Digits(individual_digits=True)
as_named = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split()) for merge in merges]))
as_named.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
text = "a  1\n\n2"
theirs = {rule: AutoTokenizer.from_pretrained(".", gguf_file=f"{rule}.gguf").tokenize(text) for rule in ("smollm", "gpt-2")}
named = as_named.encode(text).tokens
if theirs["smollm"] == named:
    sys.exit(f"changed: the rule is followed: {named}")
assert theirs["smollm"] == theirs["gpt-2"]
print(f"as found: {theirs['smollm']} where the file's rule gives {named}")
END
