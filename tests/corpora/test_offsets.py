"""What is said of offsets that don't fit their string."""

import pytest

from spacy_spanmed.corpora.offsets import explain_mismatch


@pytest.mark.parametrize(
    "parts, given, expected",
    [
        ([(0, 6)], "Aspirin", "ends at character 7, so the end is 1 too low (ends are exclusive"),
        ([(0, 9)], "Aspirin", "ends at character 7, so the end is 2 too high. Correct the end"),
        ([(0, 3), (4, 7)], "Aspirin", "is there in one piece. Leave the fragments out"),
        ([(1, 8)], "Aspirin", "at character 0, so the offset is 1 too high"),
    ],
)
def test_the_end_is_named_if_it_is_wrong(parts, given, expected):
    assert expected in explain_mismatch("Aspirin works", parts, given)
