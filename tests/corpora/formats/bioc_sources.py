"""BioC made by hand, and its readers: for the tests of both its forms."""

import json

from spacy_spanmed.corpora.formats import bioc_json, bioc_xml
from spacy_spanmed.util.problems import Problems

DOCTYPE = '<!DOCTYPE collection SYSTEM "BioC.dtd">'
XML = f"""\
<?xml version="1.0" encoding="UTF-8"?>
{DOCTYPE}
<collection>
  <source>by hand</source><date>2020</date><key>none.key</key>
  <document>
    <id>11</id>
    <infon key="journal">Notes</infon>
    <passage>
      <infon key="type">title</infon>
      <infon key="section">front</infon>
      <offset>0</offset>
      <text>Zinc &amp; gut<!-- a comment --> pain</text>
      <annotation id="T1">
        <infon key="type">Chemical</infon>
        <infon key="MESH">D001|D002</infon>
        <location offset="0" length="4"/>
        <text>Zinc</text>
      </annotation>
    </passage>
    <passage>
      <infon key="type">abstract</infon>
      <offset>100</offset>
      <text>Gut and liver pain follow.</text>
      <annotation id="T2">
        <infon key="type">Disease</infon>
        <infon key="identifier">D003,D004</infon>
        <infon key="note">sure</infon>
        <location offset="100" length="3"/>
        <location offset="114" length="4"/>
        <text>Gut pain</text>
      </annotation>
      <relation id="R1">
        <infon key="type">CAUSES</infon>
        <node refid="T1" role="Chemical"/>
        <node refid="T2" role="Disease"/>
      </relation>
    </passage>
    <relation id="R2">
      <infon key="relation">CID</infon>
      <infon key="Chemical">D001</infon>
      <infon key="Disease">D003</infon>
    </relation>
    <relation id="R3">
      <infon key="entity1">D001</infon>
      <infon key="entity2">D004</infon>
      <infon key="type">Association</infon>
      <infon key="novel">Novel</infon>
    </relation>
  </document>
</collection>
"""  # fmt: skip


def read_xml(path, text, on_error="raise"):
    data = text if isinstance(text, bytes) else text.encode("utf8")
    path.write_bytes(data)
    problems = Problems(on_error)
    return list(bioc_xml.read(path, problems)), problems


def read_json(path, value, on_error="raise"):
    if not isinstance(value, bytes):
        value = json.dumps(value).encode()
    path.write_bytes(value)
    problems = Problems(on_error)
    return list(bioc_json.read(path, problems)), problems


def passage(text, offset=0, **more):
    return {"offset": offset, "text": text, **more}


def annotation(offset, length, label="Gene", **more):
    return {"infons": {"type": label}, "locations": [{"offset": offset, "length": length}], **more}


GOOD = {"id": "1", "passages": [passage("a b", annotations=[annotation(0, 1, id="a")])]}


def round_trip(path, documents):
    bioc_json.write(documents, path)
    return list(bioc_json.read(path, Problems()))
