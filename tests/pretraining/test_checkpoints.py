import pytest

from spacy_spanmed.files import write_json
from spacy_spanmed.pretraining import checkpoints


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


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: (p / "optimizer.pt").write_bytes(b"y" * 50),
        lambda p: (p / "optimizer.pt").write_bytes(b"z" * 100),
        lambda p: (p / "model.safetensors").unlink(),
        lambda p: (p / checkpoints.MANIFEST).write_text('{"model'),
        lambda p: (p / checkpoints.MANIFEST).write_text("{}"),
    ],
)
def test_damaged_checkpoint_is_skipped(tmp_path, damage):
    good, bad = make(tmp_path, 1), make(tmp_path, 2)
    damage(bad)
    assert checkpoints.newest_complete(tmp_path) == good


def test_prune_keeps_the_newest_sealed(tmp_path):
    for step in (1, 2, 3):
        make(tmp_path, step)
    make(tmp_path, 4, sealed=False)
    checkpoints.prune(tmp_path, keep=2)
    assert [p.name for p in checkpoints.list_checkpoints(tmp_path)] == [
        "checkpoint-3",
        "checkpoint-2",
    ]


def test_runs_are_not_mixed(tmp_path):
    write_json(tmp_path / checkpoints.RUN_FILE, {"fingerprint": "a"})
    checkpoints.check_run(tmp_path, "b")  # no checkpoint yet: nothing to mix
    make(tmp_path, 1)
    checkpoints.check_run(tmp_path, "a")
    with pytest.raises(ValueError, match="--restart"):
        checkpoints.check_run(tmp_path, "b")
