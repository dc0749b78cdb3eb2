"""PubMed and PubMed Central XML."""

import gzip

import pytest

from spacy_spanmed.pretraining.texts.reading import TextProblems
from spacy_spanmed.pretraining.texts.sources import Sources, read_texts
from spacy_spanmed.util.text_files import Meter

PMC = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS 1.2//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>
<title-group><article-title>Loss of <italic>p53<sup>+/<bold>-</bold></sup></italic>
cells</article-title></title-group>
<contrib-group><contrib><name><surname>Nobody</surname></name></contrib></contrib-group>
<abstract><title>Background</title><p>Short&nbsp;abstract.</p></abstract>
<trans-abstract><p>Autre langue.</p></trans-abstract></article-meta></front>
<body><sec><label>1</label><title>Methods</title>
<p>As shown [<xref ref-type="bibr" rid="b1">1</xref>, <xref ref-type="bibr" rid="b2">2</xref>],
see <xref ref-type="fig" rid="f1">Figure 1</xref> .<!-- comment --> It fell<sup><xref
ref-type="bibr" rid="b3">3</xref></sup>.</p>
<p>Items:<list><list-item><p>one</p></list-item><list-item><p>two</p></list-item></list> end.</p>
<table-wrap><caption><p>Table caption</p></caption><table><tr><td><p>cell</p></td></tr></table>
</table-wrap><fig id="f1"><caption><p>Figure caption</p></caption></fig>
<p>With <inline-formula><alternatives><tex-math>\\alpha_{1}</tex-math></alternatives>x
</inline-formula>
<disp-formula>y = 2</disp-formula> it holds<fn><p>A footnote.</p></fn>.</p></sec></body>
<back><ref-list><ref><mixed-citation>Cited work</mixed-citation></ref></ref-list></back>
<sub-article><body><p>A reply.</p></body></sub-article></article>"""

CITATION = """<PubmedArticle><MedlineCitation><PMID>{0}</PMID><Article>
<ArticleTitle>Title {0} of H<sub>2</sub>O.</ArticleTitle>
<Abstract><AbstractText Label="AIM">First part.</AbstractText>
<AbstractText Label="RESULT">Second &lt; part.</AbstractText>
<CopyrightInformation>Copyright</CopyrightInformation></Abstract></Article>
<CommentsCorrectionsList><x>Other</x></CommentsCorrectionsList></MedlineCitation></PubmedArticle>"""


def read(path):
    return list(read_texts([str(path)]))


@pytest.mark.parametrize("name", ["a.nxml", "a.xml", "a.xml.gz"])
def test_paper_is_its_running_text(tmp_path, name):
    data = PMC.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (text,) = read(tmp_path / name)
    assert text.split("\n\n") == [
        "Loss of p53+/- cells",
        "Background",
        "Short abstract.",
        "Methods",
        "As shown, see Figure 1. It fell.",
        "Items:",
        "one",
        "two",
        "end.",
        "With x it holds.",
    ]


def test_papers_in_a_namespace_and_in_a_set(tmp_path):
    body = PMC[PMC.index("<front>") : PMC.index("<back>")]
    article = f'<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/">{body}</article>'
    article = article.replace("&nbsp;", " ")
    (tmp_path / "a.xml").write_text(f"<pmc-articleset>{article * 2}</pmc-articleset>")
    first, second = read(tmp_path / "a.xml")
    assert first == second and first.startswith("Loss of p53+/- cells\n\nBackground")


def test_citations_are_read_one_at_a_time(tmp_path):
    citations = "\n".join(CITATION.format(i) for i in range(1000))
    path = tmp_path / "a.xml"
    path.write_text(f"<PubmedArticleSet>{citations}</PubmedArticleSet>")
    meter = Meter()
    documents = Sources([str(path)]).read(meter)
    first = next(documents)
    assert first.text == "Title 0 of H2O.\n\nFirst part.\n\nSecond < part."
    assert first.place == f"{path}:1"
    assert meter.done < path.stat().st_size, "the whole file was read for the first citation"
    assert len(list(documents)) == 999


@pytest.mark.parametrize(
    "content, message",
    [
        (b'<!DOCTYPE article [<!ENTITY x SYSTEM "file:///etc/passwd">]><article>&x;</article>',
         "declares entities"),
        (b"<article><body><p>cut", "not well-formed"),
        (b"plain text", "not well-formed"),
    ],
)  # fmt: skip
def test_unsafe_or_damaged_xml_is_refused_or_skipped(tmp_path, content, message):
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path)
    problems = TextProblems("skip")
    assert list(Sources([str(path)], problems=problems).read(Meter())) == []
    assert sum(problems.counts.values()) == 1


def test_other_xml_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<collection><document/></collection>")
    with pytest.raises(ValueError, match="only PubMed and PubMed Central"):
        read(tmp_path / "a.xml")


def test_entities_blown_up_are_never_expanded(tmp_path):
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 9))
    bomb = (
        f'<!DOCTYPE article [<!ENTITY e0 "x">{levels}]><article><body><p>&e8;</p></body></article>'
    )
    (tmp_path / "a.xml").write_bytes(bomb.encode())
    with pytest.raises(ValueError, match="declares entities|amplification"):
        read(tmp_path / "a.xml")
