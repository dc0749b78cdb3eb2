"""Memory of the whole pipeline, in a process of its own: long texts and long streams."""

import json
import platform
import subprocess
import sys

import pytest

from tests.conftest import TEXTS

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="reads Linux's /proc")

START = """
import json, re, sys, warnings
import spacy, torch
torch.set_num_threads(1)
warnings.simplefilter("ignore")

def memory(key):
    status = open("/proc/self/status").read()
    return int(re.search(key + r":\\s+(\\d+)", status)[1]) / 1024  # MiB

nlp = spacy.load(sys.argv[1])
TEXTS = json.loads(sys.argv[2])
list(nlp.pipe(TEXTS * 64))
"""
LONG = """
before = memory("VmHWM")
doc = nlp((TEXTS[0] + " " + TEXTS[2] + " ") * 5_500)
first = [ent.text for ent in doc.ents[:1]]
print(json.dumps([len(doc), len(doc.ents), len(doc._.relations), doc._.cut_pairs,
                  len(doc._.abbreviations), first, memory("VmHWM") - before]))
"""
STREAM = """
seen = []
for i, doc in enumerate(nlp.pipe(TEXTS[i % len(TEXTS)] for i in range(6_000))):
    if i % 1_000 == 999:
        seen.append(memory("VmRSS"))
print(json.dumps(seen))
"""


def run(nlp, folder, code):
    nlp.to_disk(folder / "model")
    texts = json.dumps([item[0] for item in TEXTS])
    command = [sys.executable, "-c", START + code, str(folder / "model"), texts]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_hundred_thousand_tokens(trained, tmp_path):
    tokens, ents, relations, cut, abbreviations, first, grown = run(trained, tmp_path, LONG)
    assert tokens >= 100_000
    assert ents > 5_500 and first == ["Cisplatin"] and abbreviations == 5_500
    assert relations > 1_000 and cut > 100_000
    assert grown < 1_000  # MiB


def test_a_long_stream_keeps_nothing(trained, tmp_path):
    seen = run(trained, tmp_path, STREAM)
    assert len(seen) == 6
    assert seen[-1] - seen[1] < 40  # MiB; the Docs of 4,000 texts, if kept, take 70
