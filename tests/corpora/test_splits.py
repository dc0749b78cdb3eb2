"""What --split may say."""

import pytest

from spacy_spanmed.corpora.splits import parse_split
from spacy_spanmed.util.problems import CorpusError


@pytest.mark.parametrize("text", ["train", "train=0.8", "train=x,dev=1", "a=0.5,a=0.5", "", "a=2"])
def test_bad_splits(text):
    with pytest.raises(CorpusError, match="Expected names and shares"):
        parse_split(text)
