"""Pages read back, and Docs to make them of."""

from html.parser import HTMLParser

import spacy

from spacy_spanmed.corpora.alignment import make_gold_doc
from spacy_spanmed.pipeline.tokenizer import create_tokenizer
from spacy_spanmed.visualize.views import make_view

BLANK = spacy.blank("en")
TOKENIZE = create_tokenizer(BLANK)
VOID = {"meta", "br", "input", "wbr"}
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "h1",
    "h2",
    "p",
    "section",
    "fieldset",
    "legend",
    "label",
    "input",
    "span",
    "nav",
    "ol",
    "ul",
    "li",
    "a",
    "main",
    "article",
    "div",
    "svg",
    "mark",
    "bdi",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "small",
    "button",
    "details",
    "summary",
    "script",
    "br",
    "wbr",
}


class Page(HTMLParser):
    """Elements of a page: (tag, attributes, text), in the order in which they end. Their text is
    without that of labels in marks."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes)
        if tag == "br":
            self.handle_data("\n")
        if tag in VOID:
            self.elements.append((tag, dict(attributes), ""))
        else:
            self.open.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        name, attributes, parts = self.open.pop()
        assert name == tag
        self.elements.append((tag, attributes, "".join(parts)))

    def handle_data(self, data):
        in_label = any(attributes.get("class") == "tag" for _, attributes, _ in self.open)
        for tag, _, parts in self.open:
            if not in_label or tag in ("bdi", "tr", "td"):
                parts.append(data)

    def find(self, tag, **wanted):
        found = []
        for name, attributes, text in self.elements:
            if name == tag and all(
                value in (attributes.get(key.strip("_")) or "").split()
                for key, value in wanted.items()
            ):
                found.append((attributes, text))
        return found

    def texts(self):
        return [text for _, text in self.find("div", class_="text")]

    def marks(self):
        """RETURNS: {name: (start, end, label, text)}; pieces of one mention are put together."""
        found = {}
        for a, text in sorted(self.find("mark"), key=lambda item: int(item[0]["data-start"])):
            start = int(a["data-start"])
            old = found.get(a["data-mark"], (start, start, a["data-label"], ""))
            assert old[1] == start
            name, end = a["data-mark"], int(a["data-end"])
            found[name] = (old[0], end, a["data-label"], old[3] + text)
        return found

    def relations(self):
        """RETURNS: (head, tail, label, negated), by the marks that the table's rows join."""
        marks = self.marks()

        def find(names):
            return marks[names.split()[0]] if names else None

        rows = [a for a, _ in self.find("tr") if "data-heads" in a]
        keys = ("data-heads", "data-tails")
        return [
            (*(find(a[key]) for key in keys), a["data-label"], a["data-negated"] == "yes")
            for a in rows
        ]


def make_doc(text, mentions=(), relations=(), layers=("entities", "relations"), **kwargs):
    return make_gold_doc(TOKENIZE, text, mentions, relations, layers=layers, **kwargs)


def locate(text, *names):
    return [(text.index(name), text.index(name) + len(name), label) for name, label in names]


def check_faithful(doc, page):
    """The page has the Doc's text, and its mentions where they are."""
    (text,) = page.texts()
    assert text == doc.text
    view = make_view(doc)
    expected = [(m.start, m.end, m.label, doc.text[m.start : m.end]) for m in view.marks]
    assert sorted(page.marks().values()) == sorted(expected)


EMOJI = "🧬👩‍⚕️ p53 binds MDM2 🙂 in “renal” cells."
RIGHT_TO_LEFT = "الأسبرين يسبب النزيف. Aspirin يمنع الحمى."
NESTED = "The alpha beta gamma delta receptor binds zinc."
