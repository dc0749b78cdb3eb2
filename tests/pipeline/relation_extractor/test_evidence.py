"""What a document says of two concepts."""

import math

import numpy as np
import pytest

from spacy_spanmed.pipeline.relation_extractor.candidates import NO_PAIRS, Candidate, find_pairs
from spacy_spanmed.pipeline.relation_extractor.evidence import OF_CONCEPT, SIZE, describe_pairs
from spacy_spanmed.pipeline.relation_extractor.model import index_pairs

OTHER = OF_CONCEPT


def mention(start, label, *concepts):
    return Candidate(start, start + 1, 5 * start, 5 * start + 4, label, concepts)


MENTIONS = [
    mention(3, "CHEM", "C1"),
    mention(9, "DISEASE", "D1"),
    mention(40, "CHEM", "C2"),
    mention(44, "DISEASE", "D2", "D1"),
    mention(50, "CHEM", "C1"),
]


def describe(mentions, **settings):
    found = find_pairs(mentions, 1000, 1000, pair_types={("CHEM", "DISEASE")}, **settings)
    rows = describe_pairs(found)
    assert rows.shape == (len(found.pairs), SIZE)
    return found, rows


def test_counts_and_places_of_concepts():
    found, rows = describe(MENTIONS, concepts=True)
    row = rows[found.groups.index(found.arguments.index(("C1", "D1")))]
    chemical, disease = row[:OTHER], row[OTHER : 2 * OTHER]
    # two mentions, first at token 3, in the beginning, most frequent chemical, 2 of 3, of 2
    expected = [math.log(2), math.log(4) / 3, 1, 1, 2 / 3, math.log(2)]
    assert chemical == pytest.approx(expected, rel=1e-6)
    assert disease == pytest.approx(
        [math.log(2), math.log(10) / 3, 1, 1, 2 / 3, math.log(2)], rel=1e-6
    )
    # nearest: 3 and 9, or 50 and 44; close: both
    assert row[2 * OTHER :] == pytest.approx([math.log(7) / 3, math.log(3)], rel=1e-6)
    row = rows[found.groups.index(found.arguments.index(("C2", "D2")))]
    assert row[:OTHER] == pytest.approx([0, math.log(41) / 3, 0, 1 / 2, 1 / 3, math.log(2)])


def test_rows_of_the_same_concepts_are_the_same():
    found, rows = describe(MENTIONS, concepts=True)
    groups = np.array(found.groups)
    for group in range(len(found.arguments)):
        assert (rows[groups == group] == rows[groups == group][0]).all()


def test_without_direction_head_and_tail_stay_apart():
    """Arguments are ordered by their ids then, pairs by their labels."""
    renamed = [m._replace(concepts=tuple(name[::-1] for name in m.concepts)) for m in MENTIONS]
    swapped = [
        m._replace(concepts=tuple(f"{9 - int(n[0])}{n[1]}" for n in m.concepts)) for m in renamed
    ]
    tables = []
    for mentions in (renamed, swapped):
        _, rows = describe(mentions, concepts=True, directed=False)
        tables.append(sorted(rows.tolist()))
    assert tables[0] == tables[1]


def test_single_mentions_are_concepts_of_their_own():
    _, rows = describe([m._replace(concepts=()) for m in MENTIONS])
    assert (rows[:, 0] == 0).all()  # each is there once


def test_no_pairs():
    assert describe_pairs(NO_PAIRS).shape == (0, SIZE)
    assert index_pairs([3, 0], [NO_PAIRS] * 2, [], 2, 10, evidence=True).evidence.shape == (0, SIZE)
