"""A small corpus in several formats, for tests of what reads all of them."""

import gzip
import json

PUBTATOR = """\
101|t|Aspirin and gastric bleeding.
101|a|We saw bleeding after aspirin, and none after placebo.
101\t0\t7\tAspirin\tChemical\tD001241
101\t12\t28\tgastric bleeding\tDisease\tD006471
101\t20\t28\tbleeding\tDisease\tD006470
101\t37\t45\tbleeding\tDisease\tD006471|D006470
101\t52\t59\taspirin\tChemical\tD001241
101\tCID\tD001241\tD006471

102|t|Nothing was found.
102|a|

103|t|5-HT6 receptors
103|a|They bind 5-HT.
103\t0\t4\t5-HT\tChemical\t-1
103\t26\t30\t5-HT\tChemical\tD012701
"""
CONLL = "Aspirin\tB-Chemical\nhelps\tO\n.\tO\n\nNo\tO\naspirin\tB-Chemical\n"
JSONL = {
    "id": "9",
    "text": "Cisplatin binds albumin.",
    "spans": [
        {"start": 0, "end": 9, "label": "CHEM", "id": "T1"},
        {"start": 16, "end": 23, "label": "GENE", "id": "T2", "kb_id": "213"},
    ],
    "relations": [{"head": "T1", "tail": "T2", "label": "BINDS"}],
    "meta": {"tags": ["a", "b"]},
}
BIOC_XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE collection SYSTEM "BioC.dtd">
<collection><source>s</source><date>d</date><key>k</key>
<document><id>7</id><passage><offset>0</offset><text>Aspirin helps.</text>
<annotation id="1"><infon key="type">Chemical</infon><location offset="0" length="7"/>
<text>Aspirin</text></annotation></passage></document></collection>
"""
BIOC_JSON = {
    "source": "s", "date": "d", "key": "k", "infons": {},
    "documents": [{"id": "7", "infons": {}, "annotations": [], "relations": [], "passages": [{
        "offset": 0, "infons": {}, "text": "Aspirin helps.", "sentences": [], "relations": [],
        "annotations": [{
            "id": "1", "infons": {"type": "Chemical"}, "text": "Aspirin",
            "locations": [{"offset": 0, "length": 7}],
        }],
    }]}],
}  # fmt: skip
ANN = "T1\tChemical 0 7\tAspirin\nT2\tDisease 14 18\tpain\nR1\tTreats Arg1:T1 Arg2:T2\n"


def write_sources(folder):
    """RETURNS (Dict[str, Path]): A source of each format."""
    files = {
        "pubtator": ("corpus.PubTator", PUBTATOR),
        "conll": ("corpus.conll", CONLL),
        "jsonl": ("corpus.jsonl", json.dumps(JSONL) + "\n"),
        "bioc-xml": ("corpus.xml", BIOC_XML),
        "bioc-json": ("corpus.json", json.dumps(BIOC_JSON)),
    }
    paths = {}
    for format, (name, text) in files.items():
        paths[format] = folder / name
        paths[format].write_text(text, encoding="utf-8")
    paths["brat"] = folder / "brat"
    paths["brat"].mkdir()
    (paths["brat"] / "a.txt").write_text("Aspirin stops pain.", encoding="utf-8")
    (paths["brat"] / "a.ann").write_text(ANN, encoding="utf-8")
    return paths


def pack(path):
    """RETURNS (Path): A gzipped copy under a name that tells nothing."""
    packed = path.with_name(f"{path.stem}_packed.dat.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed
