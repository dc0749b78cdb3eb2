import pytest
from filelock import FileLock
from safetensors import SafetensorError

from spacy_spanmed.pretraining import checkpoints
from spacy_spanmed.util.files import write_json
from tests.pretraining.processes import run
from tests.pretraining.test_resume import EXACT


def make(directory, step, sealed=True):
    path = directory / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"x" * 100)
    (path / "optimizer.pt").write_bytes(b"y" * 100)
    if sealed:
        checkpoints.seal(path)
    return path


def test_newest_complete_is_found_by_number_and_unsealed_is_skipped(tmp_path):
    make(tmp_path, 9)
    newest = make(tmp_path, 10)
    make(tmp_path, 11, sealed=False)
    assert checkpoints.newest_complete(tmp_path) == newest
    assert checkpoints.newest_complete(tmp_path / "missing") is None


def write_manifest(content):
    return lambda p: (p / checkpoints.MANIFEST).write_bytes(content)


DAMAGES = [
    (lambda p: (p / "optimizer.pt").write_bytes(b"y" * 50), "optimizer.pt has 50 bytes, not 100"),
    (lambda p: (p / "optimizer.pt").write_bytes(b"z" * 100), "content of optimizer.pt"),
    (lambda p: (p / "model.safetensors").unlink(), "model.safetensors is missing"),
    (lambda p: (p / checkpoints.MANIFEST).unlink(), "not written to its end"),
    (write_manifest(b'{"model'), "not written to its end"),
    (write_manifest(b"\xff\x00\xfe"), "not written to its end"),
    (write_manifest(b"{}"), "manifest.json is damaged"),
    (write_manifest(b"[1]"), "manifest.json is damaged"),
    (write_manifest(b'{"optimizer.pt": 100}'), "manifest.json is damaged"),
    (write_manifest(b'{"optimizer.pt": {"bytes": 100}}'), "manifest.json is damaged"),
]


@pytest.mark.parametrize("damage, fault", DAMAGES)
def test_damaged_checkpoint_is_skipped_with_a_reason(tmp_path, damage, fault):
    good, bad = make(tmp_path, 1), make(tmp_path, 2)
    damage(bad)
    told = []
    assert checkpoints.newest_complete(tmp_path, told.append) == good
    assert len(told) == 1 and told[0].startswith("checkpoint-2 cannot be used: ")
    assert fault in told[0]


def test_recovery_deletes_the_torn_ones_after_the_newest_whole_one(tmp_path):
    make(tmp_path, 1, sealed=False)
    good = make(tmp_path, 2)
    for step in (3, 4):
        (make(tmp_path, step) / "optimizer.pt").write_bytes(b"torn")
    assert checkpoints.newest_complete(tmp_path, clear=True) == good
    assert [p.name for p in checkpoints.list_checkpoints(tmp_path)] == [
        "checkpoint-2",
        "checkpoint-1",
    ]
    (good / "model.safetensors").unlink()
    assert checkpoints.newest_complete(tmp_path, clear=True) is None
    assert checkpoints.list_checkpoints(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("I/O error"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    ],
)
def test_what_cannot_be_written_is_explained_and_cleared_away(tmp_path, error):
    target = make(tmp_path, 1)
    with pytest.raises(ValueError, match="checkpoint-1' could not be written.*Do this") as caught:
        with checkpoints.writing(target, "Do this."):
            raise error
    assert str(error) in str(caught.value) and "\n" not in str(caught.value)
    assert not target.exists()


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path):
    target = make(tmp_path, 1)
    with pytest.raises(RuntimeError, match="Connection closed by peer"):
        with checkpoints.writing(target, "Do this."):
            raise RuntimeError("[gloo] Connection closed by peer")


def test_prune_keeps_the_newest_sealed(tmp_path):
    for step in (1, 2, 3):
        make(tmp_path, step)
    make(tmp_path, 4, sealed=False)
    checkpoints.prune(tmp_path, keep=2)
    assert [p.name for p in checkpoints.list_checkpoints(tmp_path)] == [
        "checkpoint-3",
        "checkpoint-2",
    ]


def test_runs_are_not_mixed_and_what_differs_is_named(tmp_path):
    old = {
        "settings": {"system.seed": 0, "model.encoder": "a", "training.old": 1},
        "contents": {"content of train": "x", "files of the encoder": {"vocab.txt": "y"}},
    }
    new = {
        "settings": {"system.seed": 1, "model.encoder": "a", "training.new": 2},
        "contents": {"content of train": "x", "files of the encoder": {"vocab.txt": "z"}},
    }
    write_json(tmp_path / checkpoints.RUN_FILE, {"fingerprint": "a", "identity": old})
    checkpoints.check_run(tmp_path, "b", new)  # no checkpoint yet: nothing to mix
    make(tmp_path, 1)
    checkpoints.check_run(tmp_path, "a", old)
    with pytest.raises(ValueError, match="--restart") as error:
        checkpoints.check_run(tmp_path, "b", new)
    message = str(error.value)
    assert "system.seed = 0 instead of 1" in message
    assert "training.old = 1 instead of None" in message
    assert "training.new = None instead of 2" in message
    assert "other files of the encoder" in message
    assert "model.encoder" not in message and "content of train" not in message


@pytest.mark.parametrize("content", [None, "{", "[]", '{"fingerprint": 1, "identity": 2}'])
def test_checkpoints_without_a_readable_run_file_are_refused(tmp_path, content):
    make(tmp_path, 1)
    if content is not None:
        (tmp_path / checkpoints.RUN_FILE).write_text(content)
    with pytest.raises(ValueError, match="another config or other texts"):
        checkpoints.check_run(tmp_path, "b", {"settings": {}, "contents": {}})


def test_one_folder_of_checkpoints_is_for_one_run(config_file, tmp_path):
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    with FileLock(directory / checkpoints.LOCK_FILE):
        with pytest.raises(ValueError, match="Another run is at work in .*--paths.checkpoints"):
            run(config_file)
    run(config_file, EXACT)
    assert not list(directory.iterdir())
