"""Joined Docs say what their parts said, where they said it."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.training import Example

from spacy_spanmed.corpora.joined import create_joined_corpus, join_docs
from spacy_spanmed.doc.gold import get_gold_relations
from spacy_spanmed.doc.layers import ENTITIES, RELATIONS, get_layers
from spacy_spanmed.doc.mentions import get_mentions, get_unknown_tokens
from spacy_spanmed.doc.relations import get_relation_tuples
from tests.conftest import TEXTS, make_reference

NLP = spacy.blank("en")
WITH_RELATIONS = [item for item in TEXTS if RELATIONS in item[3]]


def read(nlp):
    for item in TEXTS * 5:
        reference = make_reference(nlp, *item)
        yield Example(nlp.make_doc(reference.text), reference)


def say(doc):
    """RETURNS (Tuple[List, List]): Entities and relations, as text."""
    text = doc.text
    mentions = [(text[start:end], label) for start, end, label in get_mentions(doc)]
    relations = [
        (text[r.head_start : r.head_end], text[r.tail_start : r.tail_end], r.label, r.negated)
        for r in get_relation_tuples(doc)
    ]
    return mentions, relations


@given(st.lists(st.sampled_from(WITH_RELATIONS), min_size=1, max_size=6))
def test_parts_keep_what_they_say(items):
    docs = [make_reference(NLP, *item) for item in items]
    whole = join_docs(docs)
    assert whole.text.split() == [word for doc in docs for word in doc.text.split()]
    mentions, relations = zip(*map(say, docs))
    found = say(whole)
    assert sorted(found[0]) == sorted(sum(mentions, []))
    assert found[1] == sum(relations, [])
    assert get_layers(whole) == get_layers(docs[0])
    assert len(list(get_gold_relations(whole, False, True))) == sum(map(len, relations))


def test_unknown_tokens_stay_unknown():
    known = make_reference(NLP, *TEXTS[0])
    unknown = NLP.make_doc("Nobody looked here.")
    unknown.set_ents([], missing=[unknown[:]])
    for reference in (known, unknown):
        reference.user_data["spanmed_layers"] = [ENTITIES]
    whole = join_docs([known, unknown])
    assert get_unknown_tokens(known) == []
    places = get_unknown_tokens(whole)
    assert places and all(start >= len(known.text) for start, _ in places)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_each_doc_comes_once(share):
    nlp = spacy.blank("en")
    alone = [eg.reference for eg in read(nlp)]
    joined = list(create_joined_corpus(read, share=share, longest=3)(nlp))
    assert all(eg.predicted.text == eg.reference.text for eg in joined)
    assert all(len(eg.predicted) == len(eg.reference) for eg in joined)
    words = [
        sorted(" ".join(d.text for d in docs).split())
        for docs in (alone, [e.reference for e in joined])
    ]
    assert words[0] == words[1]
    assert (len(joined) < len(alone)) == (share > 0)
    again = list(create_joined_corpus(read, share=share, longest=3)(nlp))
    assert [eg.text for eg in again] == [eg.text for eg in joined]


def test_docs_with_relations_come_several_times():
    nlp = spacy.blank("en")
    alone = [eg.reference for eg in read(nlp)]
    joined = [eg.reference for eg in create_joined_corpus(read, relations=3)(nlp)]
    expected = sum(len(get_relation_tuples(doc)) for doc in alone)
    assert sum(len(get_relation_tuples(doc)) for doc in joined) == 3 * expected > 0
    texts = " ".join(doc.text for doc in joined)
    assert texts.count("reached the liver") == 5
    assert texts.count("inhibits p53") == 15


@pytest.mark.parametrize("settings", [{"share": 1.5}, {"longest": 1}, {"relations": 0}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match="share must be"):
        create_joined_corpus(read, **settings)
