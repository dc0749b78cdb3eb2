import pytest

from spacy_spanmed.pretraining.config import DataSettings
from spacy_spanmed.pretraining.maskers import SpanMasker
from spacy_spanmed.pretraining.samples import StreamedSequences, make_vocabulary
from spacy_spanmed.pretraining.texts.corpus import SequenceStream, TextCorpus
from tests.pretraining.conftest import make_texts, write_jsonl


@pytest.fixture
def corpus(tmp_path, tokenizer):
    write_jsonl(tmp_path / "texts.jsonl", make_texts(50))
    return TextCorpus([str(tmp_path / "texts.jsonl")], tokenizer, DataSettings(min_block=8), 32)


def make_samples(corpus, seed=0, window=16):
    return StreamedSequences(
        SequenceStream(corpus, window),
        SpanMasker(),
        make_vocabulary(corpus.tokenizer),
        seed=seed,
        samples=400,
        batch_size=4,
    )


def content(sample):
    return sample.input_ids.tobytes(), sample.positions.tobytes(), sample.labels.tobytes()


def original(sample):
    ids = sample.input_ids.copy()
    ids[sample.positions] = sample.labels
    return tuple(ids.tolist())


def test_samples_depend_on_seed_and_place_alone(corpus):
    """A resumed run begins in the middle, a worker of several sees a part."""
    samples = make_samples(corpus)
    whole = [content(samples[i]) for i in range(400)]
    resumed = make_samples(corpus)
    assert [content(resumed[i]) for i in range(211, 400)] == whole[211:]
    worker = make_samples(corpus)
    assert [content(worker[i]) for i in range(1, 400, 3)] == whole[1::3]
    assert content(worker[5]) == whole[5], "going back"
    other = make_samples(corpus, seed=1)
    assert sum(content(other[i]) == whole[i] for i in range(50)) < 5


def test_every_pass_has_every_sequence_with_new_masks(corpus):
    sequences = [tuple(sequence.ids.tolist()) for sequence in corpus.read_sequences()]
    count = len(sequences)
    window = 8 * count  # whole passes in one window
    samples = make_samples(corpus, window=window)
    found = [original(samples[i]) for i in range(min(window, 400))]
    assert set(found) <= set(sequences)
    samples = make_samples(corpus, window=16)
    rows = [samples[i] for i in range(16)]
    assert sorted(map(original, rows)) == sorted(sequences[:16]), "a window is shuffled in itself"
    assert [original(row) for row in rows] != sequences[:16]
    masks = {}
    for i in range(400):
        row = samples[i]
        masks.setdefault(original(row), []).append(row.positions.tobytes())
    repeated = [found for found in masks.values() if len(found) > 2]
    assert repeated and sum(len(set(found)) > 1 for found in repeated) > 0.8 * len(repeated)


def test_head_stands_for_the_text_and_report_counts(corpus):
    stream = SequenceStream(corpus, 16)
    head = stream.head()
    first = [tuple(sequence.ids.tolist()) for sequence in corpus.read_sequences()][:16]
    rows = zip(head.input_ids, head.lengths)
    assert [tuple(ids[:length].tolist()) for ids, length in rows] == first
    stream.next_window()
    assert stream.report()["passes_begun"] == 1
    assert stream.report()["documents_kept"] > 0


def test_text_of_less_than_a_sequence_is_refused(tmp_path, tokenizer):
    (tmp_path / "texts.txt").write_text("ka lo")
    corpus = TextCorpus([str(tmp_path / "texts.txt")], tokenizer, DataSettings(), 32)
    with pytest.raises(ValueError, match="less than one sequence"):
        SequenceStream(corpus, 4).head()
