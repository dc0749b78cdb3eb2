"""Tokenized texts on the disk, and whole runs that read them."""

import json
import multiprocessing
import shutil
import signal
import time
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from transformers import BertTokenizerFast

from spacy_spanmed.pretraining import cache
from spacy_spanmed.pretraining.cache import cache_key, load_sequences, open_cache, write_cache
from spacy_spanmed.pretraining.config import load_settings
from spacy_spanmed.pretraining.encoder_files import check_vocabulary, load_encoder
from spacy_spanmed.pretraining.preparing import fingerprint_texts
from spacy_spanmed.pretraining.run import pretrain
from spacy_spanmed.pretraining.texts.corpus import TextCorpus
from spacy_spanmed.pretraining.texts.packing import pack_texts
from spacy_spanmed.pretraining.texts.sources import Sources
from tests.pretraining.conftest import make_texts, write_jsonl


@pytest.fixture
def settings(config_file):
    changes = {"data.join_documents": False, "data.deduplicate": False}
    return load_settings(config_file, changes)[0]


def load(settings, tokenizer, print_="0", entries=None):
    corpus = TextCorpus(entries or settings.paths.train, tokenizer, settings.data, 32)
    out = StringIO()
    console = Console(file=out, width=200, force_terminal=True)
    return load_sequences("train", corpus, settings, print_, console), out.getvalue()


@pytest.fixture
def no_reading(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("texts are read again")

    def forbid():
        monkeypatch.setattr(Sources, "read", refuse)

    return forbid


def test_sequences_are_those_packed_in_memory_and_mapped_the_second_time(
    settings, tokenizer, no_reading
):
    sequences, output = load(settings, tokenizer)
    assert "300 texts" in output and "Tokenizing" in output
    expected = pack_texts(make_texts(300), tokenizer, 32, join_documents=False, min_block=16)
    for name in ("input_ids", "words", "lengths"):
        assert isinstance(getattr(sequences, name), np.memmap), name
        assert (getattr(sequences, name) == getattr(expected, name)).all(), name
    assert sequences.input_ids.dtype == np.uint16
    assert (sequences.documents, sequences.tokens) == (expected.documents, expected.tokens)
    assert sequences.report["documents_read"] == 300
    no_reading()
    again, _ = load(settings, tokenizer)
    assert again.report == sequences.report and (again.input_ids == sequences.input_ids).all()


def test_key_is_of_content_tokenizer_and_settings(settings, tokenizer, tiny_encoder, tmp_path):
    key = cache_key("0", tokenizer, {"block_length": 32})
    tokenizer("ka", truncation=True, max_length=4, padding="max_length")
    assert cache_key("0", tokenizer, {"block_length": 32}) == key, "calls don't count"
    assert cache_key("1", tokenizer, {"block_length": 32}) != key
    assert cache_key("0", tokenizer, {"block_length": 31}) != key
    copy = shutil.copytree(tiny_encoder, tmp_path / "copy")
    assert cache_key("0", BertTokenizerFast.from_pretrained(copy), {"block_length": 32}) == key
    other = BertTokenizerFast.from_pretrained(copy, do_lower_case=False)
    assert cache_key("0", other, {"block_length": 32}) != key


@pytest.mark.parametrize("change", ["content", "setting"])
def test_other_content_or_setting_gets_another_cache(settings, tokenizer, change):
    load(settings, tokenizer)
    if change == "setting":
        settings.data.min_block = 8
    load(settings, tokenizer, "1" if change == "content" else "0")
    assert len(list(settings.paths.cache_folder.glob("train-*/index.json"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "words.bin").write_bytes(b"short"),
        lambda folder: (folder / "input_ids.bin").unlink(),
        lambda folder: (folder / "index.json").write_text('{"arrays"'),
        lambda folder: (folder / "index.json").write_text("[]"),
        lambda folder: (folder / "index.json").unlink(),
    ],
)
def test_damaged_cache_is_built_again(settings, tokenizer, damage):
    first, _ = load(settings, tokenizer)
    ids = np.array(first.input_ids)
    (folder,) = settings.paths.cache_folder.glob("train-*[!k]")
    del first
    damage(folder)
    assert open_cache(folder) is None
    second, output = load(settings, tokenizer)
    assert "Tokenizing" in output and (second.input_ids == ids).all()


def test_kill_while_writing_leaves_no_cache(config_file, tmp_path, tokenizer):
    """A killed process leaves a folder under another name, which the next one clears away."""
    write_jsonl(tmp_path / "train.jsonl", make_texts(300) * 300)
    settings, _ = load_settings(config_file, {"data.deduplicate": False})
    process = multiprocessing.get_context("fork").Process(target=load, args=(settings, tokenizer))
    process.start()
    folder = tmp_path / "checkpoints-cache"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.is_alive():
        if any(p.stat().st_size for p in folder.glob(".train-*.tmp/input_ids.bin")):
            break
        time.sleep(0.005)
    running = process.is_alive()
    process.kill()
    process.join()
    assert running, "it was over before it could be killed"
    assert list(folder.glob(".train-*.tmp")) and not list(folder.glob("train-*/index.json"))
    write_jsonl(tmp_path / "train.jsonl", make_texts(300))
    sequences, _ = load(settings, tokenizer)
    assert sequences.documents == 300
    assert not list(folder.glob(".train-*.tmp"))


def test_full_disk_is_told_and_leaves_nothing(settings, tokenizer, monkeypatch):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(cache, "ROWS_AT_ONCE", 8)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ValueError, match="disk is full.*paths.cache.*data.streaming"):
            load(settings, tokenizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    left = [p.name for p in settings.paths.cache_folder.iterdir() if not p.name.endswith(".lock")]
    assert left == []
    assert load(settings, tokenizer)[0].documents == 300


def test_cache_folder_that_is_a_file_is_told(settings, tokenizer):
    settings.paths.cache_folder.write_text("a file")
    with pytest.raises(ValueError, match="checkpoints-cache.*can't be made.*paths.cache"):
        load(settings, tokenizer)


def test_error_in_a_text_leaves_nothing(settings, tokenizer, tmp_path):
    write_jsonl(tmp_path / "bad.jsonl", make_texts(3000))
    with (tmp_path / "bad.jsonl").open("a") as file:
        file.write("{")
    with pytest.raises(ValueError, match="bad.jsonl:3001"):
        load(settings, tokenizer, entries=[str(tmp_path / "bad.jsonl")])
    assert not [p for p in settings.paths.cache_folder.iterdir() if p.is_dir()]


def test_no_sequences_write_nothing(tmp_path, tokenizer):
    assert write_cache(tmp_path / "cache", iter([]), 32, tokenizer, dict) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("vocabulary, expected", [(65_536, np.uint16), (65_537, np.int32)])
def test_ids_are_as_wide_as_the_vocabulary_needs(tokenizer, monkeypatch, vocabulary, expected):
    monkeypatch.setattr(tokenizer, "get_vocab", lambda: {str(i): i for i in range(vocabulary)})
    assert pack_texts(["ka lo mi ne"], tokenizer, 8).input_ids.dtype == expected


def test_ids_beyond_the_embeddings_are_refused(tiny_encoder):
    """Such as those of added tokens with a gap before them, which a count does not show."""
    loaded = load_encoder(str(tiny_encoder), block_length=32)
    check_vocabulary(loaded, "x")
    vocabulary = {"ka": len(loaded.tokenizer)}

    class Other:
        def get_vocab(self):
            return vocabulary

    with pytest.raises(ValueError, match="'x' gives ids up to 26, but the model embeds only 26"):
        check_vocabulary(loaded._replace(tokenizer=Other()), "x")


# ------------------------------------------------------------------------ whole runs


def run(config_file, overrides=None, **kwargs):
    settings, source = load_settings(config_file, overrides)
    out = StringIO()
    result = pretrain(settings, source, console=Console(file=out, width=200), **kwargs)
    return result, out.getvalue()


def make_sources(tmp_path):
    """A folder and a file, with a duplicate and a text of a test set."""
    texts = make_texts(80)
    for i, text in enumerate(texts[:40]):
        (tmp_path / "folder" / f"{i // 10}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / f"{i // 10}" / f"{i % 10}.txt").write_text(text)
    write_jsonl(tmp_path / "more.jsonl", [*texts[40:], texts[0]])
    long = max(texts, key=len)
    assert len(long.split()) > 13
    write_jsonl(tmp_path / "test.jsonl", [long])
    return {
        "paths.train": [str(tmp_path / "folder"), str(tmp_path / "more.jsonl")],
        "data.exclude": [str(tmp_path / "test.jsonl")],
        "data.join_documents": False,
        "training.total_tokens": 2000,
    }


def test_run_on_several_sources_records_what_was_read_and_left_out(config_file, tmp_path):
    overrides = make_sources(tmp_path)
    result, output = run(config_file, overrides)
    told = " ".join(output.split())  # lines are as long as the terminal is wide
    assert "left out: 1 duplicates, " in told and "overlapping with evaluation texts" in told
    train = result["data"]["train"]
    assert train["path"] == overrides["paths.train"] and train["files"] == 41
    texts = train["texts"]
    assert texts["documents_read"] == 81 and texts["documents_duplicate"] == 1
    assert texts["evaluation_texts"] == 1 and texts["documents_overlapping"] >= 1
    kept = 80 - texts["documents_overlapping"]
    assert texts["documents_kept"] == result["train_documents"] == kept
    assert result["data"]["exclude"]["bytes"] > 0
    assert result["data"]["dev"]["texts"]["documents_kept"] == 60
    assert abs(result["tokens"] - 2000) < 8 * 32
    json.dumps(result)

    # finished; but not once a file or the test set is another
    assert "finished" in run(config_file, overrides)[1]
    settings, _ = load_settings(config_file, overrides)
    before = fingerprint_texts(settings)
    (tmp_path / "folder" / "3" / "9.txt").write_text("another text")
    write_jsonl(tmp_path / "test.jsonl", ["another test"])
    after = fingerprint_texts(settings)
    differing = [role for role in before if before[role]["sha256"] != after[role]["sha256"]]
    assert differing == ["train", "exclude"]


def test_streamed_run_goes_on_where_it_was(config_file, tmp_path, monkeypatch):
    from spacy_spanmed.pretraining.trainer import PretrainingTrainer

    overrides = {
        **make_sources(tmp_path),
        "data.streaming": True,
        "data.shuffle_buffer": 16,
        "training.total_tokens": 5000,
        "paths.output": str(tmp_path / "whole"),
    }
    whole, _ = run(config_file, overrides)
    assert whole["data"]["train"]["texts"]["passes_begun"] > 1 and whole["passes"] is None
    assert not list(tmp_path.glob("checkpoints-cache/train*")), "streaming kept texts"
    original = PretrainingTrainer.compute_loss

    def compute_loss(self, *args, **kwargs):
        if self.state.global_step == 16:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    overrides["paths.output"] = str(tmp_path / "resumed")
    with monkeypatch.context() as patch:
        patch.setattr(PretrainingTrainer, "compute_loss", compute_loss)
        with pytest.raises(KeyboardInterrupt):
            run(config_file, overrides)
    resumed, output = run(config_file, overrides)
    assert "Going on from checkpoint-10" in output
    assert [e["loss"] for e in resumed["curve"]] == pytest.approx(
        [e["loss"] for e in whole["curve"]], abs=1e-5
    )
