"""Mentions against their text and its tokens: gold Docs in which every mention is expressible.

The pipeline's tokenizer decides on tokens; where a gold mention or argument starts or ends inside
a token, that token is split there. So nothing is lost to tokenization in training data, and
`lost_mentions` tells what the tokenizer alone can't express, at prediction time. Where offsets
don't hold the string that a source gives, `explain_mismatch` says where it went.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from spacy.tokens import Doc
from spacy.util import filter_spans

from ..doc.layers import ENTITIES, META_KEY, RELATIONS, SPANS_KEY, set_layers
from ..doc.mentions import Mention, get_mentions
from ..doc.relations import RelationTuple, set_concept_relation_tuples, set_relation_tuples
from .documents import Offsets

SHOWN = 80  # characters of a string in a message
NEARBY = 2000  # characters searched on each side for a string that isn't where it should be

Tokenize = Callable[[str], Doc]


def trim_offsets(text: str, start: int, end: int) -> tuple[int, int]:
    """Check a mention's offsets and trim white space from its ends.

    text (str): The text.
    start, end (int): Offsets in characters, the end exclusive.
    RETURNS (Tuple[int, int]): The trimmed offsets.
    RAISES (ValueError): If they lie outside the text, or if nothing but white space is between.
    """
    if not 0 <= start <= end <= len(text):
        raise ValueError(
            f"Mention at characters {start} to {end} lies outside its text of {len(text)} "
            f"characters, which begins {text[:40]!r}. Do the offsets count characters (not "
            f"bytes) of this very text?"
        )
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start == end:
        raise ValueError(
            f"Mention at character {start} is empty, in the text that begins {text[:40]!r}. "
            f"Leave empty mentions out."
        )
    return start, end


def split_tokens(doc: Doc, boundaries: Iterable[int]) -> Doc:
    """Split the tokens of a Doc at characters.

    doc (Doc): The tokenized text, without annotation.
    boundaries (Iterable[int]): Characters at which a token must start or end.
    RETURNS (Doc): The same Doc if no token had to be split, else a new one of the same text.
    """
    cuts = sorted(set(boundaries))
    words: list[str] = []
    spaces: list[bool] = []
    for token in doc:
        text, start, whitespace = token.text, token.idx, bool(token.whitespace_)
        end = start + len(text)
        inner = cuts[bisect_right(cuts, start) : bisect_left(cuts, end)]
        edges = [0, *(cut - start for cut in inner), len(text)]
        words.extend(text[a:b] for a, b in zip(edges, edges[1:]))
        spaces.extend([False] * len(inner) + [whitespace])
    if len(words) == len(doc):
        return doc
    return Doc(doc.vocab, words=words, spaces=spaces)


def make_gold_doc(
    tokenize: Tokenize,
    text: str,
    mentions: Iterable[Mention] = (),
    relations: Iterable[Sequence[Any]] = (),
    *,
    layers: Iterable[str],
    partial: bool = False,
    meta: dict[str, str] | None = None,
    kb_ids: dict[Mention, str] | None = None,
    concept_relations: Iterable[Sequence[Any]] | None = None,
) -> Doc:
    """Build a gold Doc.

    tokenize (Callable[[str], Doc]): The pipeline's tokenizer. It must be lossless.
    text (str): The text; it becomes `doc.text` unchanged.
    mentions (Iterable[Tuple[int, int, str]]): (start, end, label) in characters, ends exclusive;
        nested and overlapping ones are welcome. They become `doc.spans["spanmed"]`.
    relations (Iterable[Sequence]): RelationTuples (or their 7 to 9 fields).
    layers (Iterable[str]): The annotation layers this text really carries, out of "entities" and
        "relations". A layer left out is unknown, not empty. Only with the layer "entities" is
        `doc.ents` set: to the flat subset of the mentions, longest first, then leftmost.
    partial (bool): Whether the text may hold further entities, so that all tokens outside of
        `doc.ents` lack annotation ("-" in spaCy's training data). Defaults to False.
    meta (Optional[Dict[str, str]]): Stored under `doc.user_data["spanmed_meta"]`.
    kb_ids (Optional[Dict[Mention, str]]): `span.kb_id_` of trimmed mentions: see
        `spacy_spanmed.doc.join_ids`.
    concept_relations (Optional[Iterable[Sequence]]): ConceptRelationTuples, of a text whose
        relations are between concepts; the relations between mentions are then not annotated.
    RETURNS (Doc): The Doc, on whose token boundaries every mention and argument lies.
    RAISES (ValueError): On offsets outside the text, empty mentions, an unknown layer, relations
        without the layer "relations", or a tokenizer that changes the text.
    """
    layers, kb_ids = list(layers), kb_ids or {}
    clean = sorted({(*trim_offsets(text, start, end), label) for start, end, label in mentions})
    tuples = [_trim_relation(text, RelationTuple(*item)) for item in relations]
    if (tuples or concept_relations) and RELATIONS not in layers:
        raise ValueError('Relations given, but the layers don\'t include "relations".')
    ends = {offset for start, end, _ in clean for offset in (start, end)}
    for item in tuples:
        ends |= {item.head_start, item.head_end, item.tail_start, item.tail_end}
    tokenized = tokenize(text)
    if tokenized.text != text:
        raise ValueError(f"The tokenizer changes the text that begins {text[:40]!r}.")
    doc = split_tokens(tokenized, ends)
    spans: list[Any] = [  # none is None, now that tokens are split; doc.spans would refuse it
        doc.char_span(start, end, label=label, kb_id=kb_ids.get((start, end, label), ""))
        for start, end, label in clean
    ]
    doc.spans[SPANS_KEY] = spans
    if ENTITIES in layers:
        doc.set_ents(filter_spans(spans), default="missing" if partial else "outside")
    set_layers(doc, layers)
    if RELATIONS in layers and concept_relations is not None:
        set_concept_relation_tuples(doc, concept_relations)
    if RELATIONS in layers and (tuples or concept_relations is None):
        set_relation_tuples(doc, tuples)
    if meta is not None:
        doc.user_data[META_KEY] = dict(meta)
    return doc


def _trim_relation(text: str, item: RelationTuple) -> RelationTuple:
    head_start, head_end = trim_offsets(text, item.head_start, item.head_end)
    tail_start, tail_end = trim_offsets(text, item.tail_start, item.tail_end)
    return item._replace(
        head_start=head_start, head_end=head_end, tail_start=tail_start, tail_end=tail_end
    )


class LostMentions(NamedTuple):
    """Mentions that a tokenizer's own tokens can't express.

    lost (int): How many.
    total (int): Out of how many.
    examples (List[str]): The first lost ones in context, between double brackets.
    """

    lost: int
    total: int
    examples: list[str]

    @property
    def share(self) -> float:
        """RETURNS (float): The lost share, from 0 to 1; 0.0 where there is no mention."""
        return self.lost / self.total if self.total else 0.0


def lost_mentions(docs: Iterable[Doc], tokenize: Tokenize, max_examples: int = 20) -> LostMentions:
    """Count the gold mentions that a tokenizer can't express.

    docs (Iterable[Doc]): Gold Docs, in any tokenization.
    tokenize (Callable[[str], Doc]): The tokenizer to examine.
    max_examples (int): How many examples to keep. Defaults to 20.
    RETURNS (LostMentions): The figures, with examples.
    """
    lost = total = 0
    examples: list[str] = []
    for gold in docs:
        text, mentions = gold.text, get_mentions(gold)
        tokenized = tokenize(text)
        total += len(mentions)
        for start, end, label in mentions:
            if tokenized.char_span(start, end) is not None:
                continue
            lost += 1
            if len(examples) < max_examples:
                before, after = text[max(0, start - 20) : start], text[end : end + 20]
                examples.append(f"{before}[[{text[start:end]}]]{after} ({label or 'no label'})")
    return LostMentions(lost, total, examples)


def same_string(a: str, b: str) -> bool:
    """RETURNS (bool): Whether two strings are equal but for white space. Formats that keep a
    mention on one line replace line ends by spaces, and some drop them."""
    return a == b or "".join(a.split()) == "".join(b.split())


def explain_mismatch(text: str, parts: Sequence[Offsets], given: str) -> str:
    """Say what is at a mention's place, and how its offsets may have come about.

    text (str): The text.
    parts (Sequence[Tuple[int, int]]): The mention's fragments, at least one, within the text.
    given (str): The string that should be there.
    RETURNS (str): A few sentences, with a remedy.
    """
    found = " ".join(text[a:b] for a, b in parts)
    message = f"the text there is {_shorten(found)}, but the source gives {_shorten(given)}."
    start, end, right = parts[0][0], parts[-1][1], parts[0][0] + len(given)
    unit = _find_unit(text, start, end, given) if len(parts) == 1 else None
    if unit:
        return f"{message} The offsets count {unit}: make them count characters."
    place = _find_nearby(text, given, start)
    if place is None:
        return f"{message} Do text and offsets belong together? Correct one of them."
    if place != start:
        hint = " (a byte-order mark, a line end, or counting from 1?)"
        return (
            f"{message} That string is at character {place}, so the offset is "
            f"{_tell_shift(start - place, hint, (-1, 1))}. Correct the offsets, or the text "
            "before it."
        )
    if end == right and len(parts) > 1:
        return (
            f"{message} That string is there in one piece. Leave the fragments out, or correct the "
            "string."
        )
    hint = " (ends are exclusive: the character after the last)"
    return (
        f"{message} That string begins there but ends at character {right}, so the end is "
        f"{_tell_shift(end - right, hint, (-1,))}. Correct the end, or the string."
    )


def _tell_shift(shift: int, hint: str, hinted: Sequence[int]) -> str:
    which = "high" if shift > 0 else "low"
    return f"{abs(shift)} too {which}{hint if shift in hinted else ''}"


def _shorten(string: str) -> str:
    return repr(string if len(string) <= SHOWN else string[:SHOWN] + "...")


def _find_nearby(text: str, string: str, start: int) -> int | None:
    """RETURNS (Optional[int]): The place of a string that is closest to a character of the text;
    None if it doesn't occur within some thousands of characters."""
    before = text.rfind(string, max(0, start - NEARBY), start + len(string))
    after = text.find(string, start, start + NEARBY)
    places = [place for place in (before, after) if place >= 0 and string]
    return min(places, key=lambda place: abs(place - start), default=None)


def _find_unit(text: str, start: int, end: int, given: str) -> str | None:
    """RETURNS (Optional[str]): What offsets count instead of characters, if the string tells."""
    views = {
        "bytes of UTF-8": text.encode("utf-8")[start:end].decode("utf-8", "replace"),
        "UTF-16 units, as in Java and JavaScript": text.encode("utf-16-le")[
            2 * start : 2 * end
        ].decode("utf-16-le", "replace"),
        "a line end of two characters as one": text.replace("\r\n", "\n")[start:end],
        "a line end of one character as two": text.replace("\n", "\r\n")[start:end],
    }
    return next((unit for unit, string in views.items() if string == given), None)
