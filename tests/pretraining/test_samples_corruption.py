import numpy as np
import pytest

from spacy_spanmed.pretraining.maskers import mask_rng
from spacy_spanmed.pretraining.samples import Vocabulary, corrupt, make_vocabulary

VOCABULARY = Vocabulary(mask_id=4, random_ids=np.arange(100, 200))
IDS = np.concatenate([[2], np.arange(300, 340), [3]]).astype(np.int32)


def test_fate_is_decided_once_a_span_in_parts_of_80_10_10():
    units = np.array([[1, 6], [10, 15], [20, 25]])
    fates = []
    for sample in range(2000):
        sequence = corrupt(IDS, units, mask_rng(0, 0, sample), VOCABULARY)
        for start, end in units:
            ids = sequence.input_ids[start:end]
            if (ids == 4).all():
                fates.append("mask")
            elif (ids == IDS[start:end]).all():
                fates.append("kept")
            else:
                assert ((ids >= 100) & (ids < 200)).all(), "fates are mixed in one span"
                fates.append("random")
    parts = {fate: fates.count(fate) / len(fates) for fate in set(fates)}
    assert parts == pytest.approx({"mask": 0.8, "random": 0.1, "kept": 0.1}, abs=0.02)


def test_targets_and_boundaries():
    sequence = corrupt(IDS, np.array([[1, 3], [3, 4], [10, 12]]), mask_rng(0, 0, 0), VOCABULARY)
    assert sequence.positions.tolist() == [1, 2, 3, 10, 11]
    assert sequence.labels.tolist() == IDS[[1, 2, 3, 10, 11]].tolist()
    # the first two units touch: their boundaries are the outer ones
    assert sequence.left.tolist() == [0, 0, 0, 9, 9]
    assert sequence.right.tolist() == [4, 4, 4, 12, 12]
    assert sequence.offsets.tolist() == [0, 1, 2, 0, 1]
    untouched = np.setdiff1d(np.arange(len(IDS)), sequence.positions)
    assert (sequence.input_ids[untouched] == IDS[untouched]).all()


def test_no_units_change_nothing():
    sequence = corrupt(IDS, np.zeros((0, 2), dtype=int), mask_rng(0, 0, 0), VOCABULARY)
    assert (sequence.input_ids == IDS).all() and len(sequence.labels) == len(sequence.left) == 0


def test_special_tokens_never_replace_a_word(tokenizer):
    vocabulary = make_vocabulary(tokenizer)
    assert vocabulary.mask_id == tokenizer.mask_token_id
    assert not set(vocabulary.random_ids) & set(tokenizer.all_special_ids)
    assert len(vocabulary.random_ids) == len(tokenizer) - 5
