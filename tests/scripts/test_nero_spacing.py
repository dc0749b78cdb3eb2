"""Natural spacing, with offsets that follow, and short forms as mentions of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.nero.short_forms import split_short_form
from scripts.nero.spacing import restore_spacing


@pytest.mark.parametrize(
    ("spaced", "printed"),
    [
        ("GGA ( Golgi-localizing , ARF-binding ) .", "GGA (Golgi-localizing, ARF-binding)."),
        ("Results : we saw 40 % ; ( P < .05 ) .", "Results: we saw 40%; (P < .05)."),
        ("a ratio of 1 : 2 and 0.5 of it", "a ratio of 1:2 and 0.5 of it"),
        ("Freud 's work , the 5 ' end", "Freud's work, the 5' end"),
        ("the `` UrinAid '' effect", 'the "UrinAid" effect'),
        ("for & lt ; 100 ml , 11.2 + / - 5", "for < 100 ml, 11.2 +/- 5"),
        ("& gt ; 5 & amp ; 6", "> 5 & 6"),
        ("CD4 + T cells , Ca2 + and A + B", "CD4+ T cells, Ca2+ and A + B"),
        ("HL / NHL , 1 - 2", "HL/NHL, 1 - 2"),
        ("( A) Kinetic [ 3H ] data", "(A) Kinetic [3H] data"),
        ("is natural (as it is), and stays.", "is natural (as it is), and stays."),
        ("", ""),
    ],
)
def test_spacing(spaced, printed):
    assert restore_spacing(spaced).text == printed


def test_offsets_follow():
    spaced = "the `` GGA ( Golgi ) '' of & lt ; 5 %"
    restored = restore_spacing(spaced)
    for old, new in [
        ("GGA", "GGA"),
        ("( Golgi )", "(Golgi)"),
        ("`` GGA", '"GGA'),
        ("lt ; 5 %", "< 5%"),
    ]:
        start = spaced.index(old)
        begin, end = restored.move(start, start + len(old))
        assert restored.text[begin:end] == new


@given(st.text(alphabet="aB1 ()[],.;:%'`&+/-ltgCD4\U0001f600", max_size=60), st.data())
def test_nothing_but_spaces_quotes_and_escapes_changes(text, data):
    text = " ".join(text.split())
    restored = restore_spacing(text)
    assert len(restored.places) == len(text)
    if not {"&", "`", "'"} & set(text):
        assert restored.text.replace(" ", "") == text.replace(" ", "")
    words = [i for i, character in enumerate(text) if character != " "]
    if not words:
        return
    start = data.draw(st.sampled_from(words))
    end = data.draw(st.sampled_from([i for i in words if i >= start])) + 1
    begin, stop = restored.move(start, end)
    assert 0 <= begin < stop <= len(restored.text)
    if not {"&", "`", "'"} & set(text):
        moved = restored.text[begin:stop].replace(" ", "")
        assert moved == text[start:end].replace(" ", "")


@pytest.mark.parametrize(
    ("mention", "forms"),
    [
        ("glucocorticoid receptor ( GR )", ("glucocorticoid receptor", "GR")),
        ("human embryonic stem cells ( hESCs )", ("human embryonic stem cells", "hESCs")),
        ("Escherichia coli (E. coli)", ("Escherichia coli", "E. coli")),
        ("Total organic halogen ( TOX )", ("Total organic halogen", "TOX")),
        ("lead ( II )", None),
        ("S ( 320 )", None),
        ("3.6 mmol/L ( P = 0.01 )", None),
        ("propranolol ( inderal )", None),
        ("endogenous estrogen ( s )", None),
        ("5-HT ( 1A ) heteroreceptors", None),
        ("GR", None),
    ],
)
def test_short_forms(mention, forms):
    found = split_short_form(mention)
    assert (found and tuple(mention[a:b] for a, b in found)) == forms
