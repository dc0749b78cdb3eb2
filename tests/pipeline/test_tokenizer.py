import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.pipeline.tokenizer import create_tokenizer

CONFIG = {"nlp": {"tokenizer": {"@tokenizers": "spanmed.BiomedicalTokenizer.v1"}}}
NLP = spacy.blank("en", config=CONFIG)


def tokens(text):
    return [token.text for token in NLP.make_doc(text)]


@pytest.mark.parametrize(
    "text,mention",
    [
        ("a 5-HT3-receptor antagonist", "5-HT3"),
        ("the BRCA1/BARD1 complex", "BARD1"),
        ("Na(+)/K(+)-ATPase", "K"),
        ("5'-AMP protects", "AMP"),
        ("(interleukin-8 (IL-8)), which", "IL-8"),
        ("tumour necrosis factor (TNF-a). It", "TNF-a"),
        ("in mice.The rats", "mice"),
        ("myoglobinuria.(ABSTRACT TRUNCATED)", "myoglobinuria"),
        ("restored glucose.4. Both", "glucose"),
        ("KrasG12D mice", "Kras"),
        ("rDEN2Delta30 virus", "Delta30"),
        ("the AT1aKO mice", "AT1a"),
        ("cocaine-induced", "cocaine"),
        ("p<0.05", "p"),
        ("GST::huPrP", "huPrP"),
        ("DNA,RNA and protein", "DNA"),
        ("Id binds", "Id"),
    ],
)
def test_mentions_can_be_expressed(text, mention):
    start = text.index(mention)
    assert NLP.make_doc(text).char_span(start, start + len(mention)) is not None


@pytest.mark.parametrize(
    "text", ["p53", "IL6", "0.5", "50,000", "1,25", "dihydroxyvitamin", "e.g.", "H2O2", "mRNA"]
)
def test_words_stay_whole(text):
    assert tokens(text) == [text]


def test_english_contractions_are_kept():
    assert tokens("doesn't") == ["does", "n't"]
    assert tokens("Parkinson's disease") == ["Parkinson", "'s", "disease"]


def test_lines_drawn_with_one_sign():
    line = "-" * 20
    assert tokens(f"see {line} a{'=' * 30}") == ["see", line, "a", "=" * 30]
    assert tokens("-" * 19) == ["-"] * 19
    assert len(tokens("'" * 100_000)) == 1  # sign by sign this takes hours


def test_runs_of_mixed_signs():
    assert tokens("mice 🐭🐭 (n=4)") == ["mice", "🐭", "🐭", "(", "n", "=", "4", ")"]
    assert tokens(f"see {'-.' * 10} here") == ["see", "-." * 10, "here"]
    for pair in ("-.", "🐭🧬", "',", "\"'", "_-"):  # sign by sign this takes hours
        assert len(tokens(pair * 20_000)) == 1


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_lossless(text):
    assert NLP.make_doc(text).text == text


def test_saved_and_loaded_with_the_pipeline(tmp_path):
    NLP.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    text = "Na(+)/K(+)-ATPase in KrasG12D mice.The IL-8(TNF-a). Id doesn't bind 5'-AMP"
    assert [t.text for t in loaded.make_doc(text)] == tokens(text)
    assert loaded.config["nlp"]["tokenizer"]["@tokenizers"] == "spanmed.BiomedicalTokenizer.v1"


def test_factory_shares_the_vocabulary():
    nlp = spacy.blank("en")
    assert create_tokenizer(nlp).vocab is nlp.vocab
