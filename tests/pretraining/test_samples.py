import numpy as np
import torch

from spacy_spanmed.pretraining.maskers import SpanMasker
from spacy_spanmed.pretraining.samples import MaskedSequences, collate, make_vocabulary
from spacy_spanmed.pretraining.texts.packing import pack_texts
from tests.pretraining.conftest import make_texts


def make_samples(tokenizer, seed=0, epochs=3):
    sequences = pack_texts(make_texts(40), tokenizer, 32)
    return MaskedSequences(
        sequences,
        SpanMasker(),
        make_vocabulary(tokenizer),
        seed=seed,
        samples=epochs * len(sequences.input_ids),
    )


def original(sample):
    ids = sample.input_ids.copy()
    ids[sample.positions] = sample.labels
    return ids.tobytes()


def test_samples_do_not_depend_on_the_order_of_calls(tokenizer):
    forward, backward = make_samples(tokenizer), make_samples(tokenizer)
    indices = list(range(len(forward)))
    first = {i: forward[i].input_ids.tobytes() for i in indices}
    second = {i: backward[i].input_ids.tobytes() for i in reversed(indices)}
    assert first == second


def test_each_epoch_has_every_sequence_once_with_new_masks_in_a_new_order(tokenizer):
    samples = make_samples(tokenizer)
    count = len(samples.sequences.input_ids)
    epochs = [[samples[e * count + i] for i in range(count)] for e in range(3)]
    orders = [[original(s) for s in epoch] for epoch in epochs]
    sequences = sorted(ids.astype(np.int64).tobytes() for ids in samples.sequences.input_ids)
    assert all(sorted(order) == sequences for order in orders)
    assert orders[0] != orders[1] != orders[2]
    by_sequence = [{original(s): s.positions.tobytes() for s in epoch} for epoch in epochs]
    same = sum(by_sequence[0][key] == by_sequence[1][key] for key in by_sequence[0])
    assert same < 0.2 * count


def test_static_masks_come_again_in_another_order(tokenizer):
    dynamic, static = make_samples(tokenizer), make_samples(tokenizer)
    static.dynamic = False
    count = len(static.sequences.input_ids)
    epochs = [[static[e * count + i] for i in range(count)] for e in range(2)]
    assert [original(s) for s in epochs[0]] != [original(s) for s in epochs[1]]
    masks = [{original(s): s.input_ids.tobytes() for s in epoch} for epoch in epochs]
    assert masks[0] == masks[1]
    assert masks[0] == {original(dynamic[i]): dynamic[i].input_ids.tobytes() for i in range(count)}


def test_seeds_differ(tokenizer):
    assert original(make_samples(tokenizer, 0)[0]) != original(make_samples(tokenizer, 1)[0])


def test_collate_points_into_the_flattened_batch(tokenizer):
    samples = make_samples(tokenizer)
    rows = [samples[i] for i in range(3)]
    batch = collate(rows)
    assert batch["input_ids"].shape == (3, 32)
    restored = batch["input_ids"].flatten()
    restored[batch["positions"]] = batch["labels"]
    assert restored.numpy().tobytes() == b"".join(original(row) for row in rows)
    row = torch.div(batch["positions"], 32, rounding_mode="floor")
    for side in ("left", "right"):
        assert torch.equal(torch.div(batch[side], 32, rounding_mode="floor"), row)
        assert not set(batch[side].tolist()) & set(batch["positions"].tolist())
