"""Texts from files, folders, archives, Parquet and datasets; and what can't be read."""

import gzip
import io
import json
import os
import sys
import tarfile

import pytest

from spacy_spanmed.pretraining.texts import reading, tables
from spacy_spanmed.pretraining.texts.reading import TextOptions, TextProblems
from spacy_spanmed.pretraining.texts.sources import Sources, fingerprint, read_texts
from spacy_spanmed.util import text_files
from spacy_spanmed.util.text_files import Meter


def read(*entries, **options):
    return list(read_texts([str(entry) for entry in entries], TextOptions(**options)))


@pytest.mark.parametrize(
    "content", [b"ka lo\nmi", b"\xef\xbb\xbfka lo\nmi", gzip.compress(b"ka lo\nmi", mtime=0)]
)
def test_text_file_is_a_document(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert read(tmp_path / "a.txt") == ["ka lo\nmi"]


def test_text_file_of_lines_or_paragraphs(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffka\r\nlo\r\n\r\n \r\nmi\u2028ne\n".encode())
    assert read(path, txt_documents="line") == ["ka", "lo", "mi\u2028ne"]
    assert read(path, txt_documents="paragraph") == ["ka\nlo", "mi\u2028ne"]
    documents = Sources([str(path)], TextOptions(txt_documents="paragraph")).read(Meter())
    assert [document.place for document in documents] == [f"{path}:1", f"{path}:5"]


def test_json_lines(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    lines = ['{"text": "ka", "body": "x"}', "", '{"text": " ", "body": "y"}']
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert read(path) == ["ka"]
    assert read(path, text_field="body") == ["x", "y"]


def test_folder_is_searched_in_order_and_other_files_are_counted(tmp_path):
    for name in ("b/2.txt", "b/1.txt", "a.txt", "c.jsonl", "notes.pdf", ".hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"text": name}))
    sources = Sources([str(tmp_path), str(tmp_path / "a.txt")])
    meter = Meter()
    texts = [document.text for document in sources.read(meter)]
    names = [text if text == "c.jsonl" else json.loads(text)["text"] for text in texts]
    assert names == ["a.txt", "b/1.txt", "b/2.txt", "c.jsonl", "a.txt"]
    assert sources.ignored == 2
    assert meter.done == sources.size() > 0


def write_tar(path, files, mode):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("name, mode", [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")])
def test_archive_is_read_without_unpacking(tmp_path, name, mode):
    files = {
        "x/2.txt": b"two",
        "x/1.jsonl": b'{"text": "one"}\n',
        "x/3.txt.gz": b"three",
        "x/._1.txt": b"metadata",
        "x/image.jpg": b"\xff\xd8",
    }
    write_tar(tmp_path / name, files, mode)
    sources = Sources([str(tmp_path / name)])
    found = [(document.text, document.place) for document in sources.read(Meter())]
    assert found == [
        ("two", f"{tmp_path}/{name}/x/2.txt"),
        ("one", f"{tmp_path}/{name}/x/1.jsonl:1"),
        ("three", f"{tmp_path}/{name}/x/3.txt.gz"),
    ]
    assert sources.ignored == 2


def test_parquet_column_by_row_groups(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    texts = [f"text {i}" for i in range(700)] + [None]
    pq.write_table(pa.table({"text": texts, "n": list(range(701))}), path, row_group_size=300)
    meter = Meter()
    documents = list(Sources([str(path)]).read(meter))
    assert [document.text for document in documents] == texts[:-1] + [""]
    assert documents[-1].place == f"{path}:701"
    assert 0.9 * path.stat().st_size < meter.done <= path.stat().st_size
    with pytest.raises(ValueError, match="no column 'body'; there are: text, n"):
        read(path, text_field="body")
    with pytest.raises(ValueError, match="'n' holds int64"):
        read(path, text_field="n")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="not a whole Parquet file"):
        read(path)
    place = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(whole[: place + 50] + b"x" * 50 + whole[place + 100 :])
    problems = TextProblems("skip")
    documents = list(Sources([str(path)], problems=problems).read(Meter()))
    assert [document.text for document in documents] == texts[: len(documents)]
    assert len(documents) == 256 and problems.counts == {tables.DAMAGED: 1}


@pytest.mark.parametrize(
    "module, name, extra",
    [
        ("pyarrow", "a.parquet", "tables"),
        ("datasets", "hf:x", "datasets"),
        ("lxml", "a.xml", "papers"),
    ],
)
def test_missing_package_is_named(tmp_path, monkeypatch, module, name, extra):
    monkeypatch.setitem(sys.modules, module, None)
    if not name.startswith("hf:"):
        (tmp_path / name).write_bytes(b"x")
        name = tmp_path / name
    with pytest.raises(ValueError, match=rf"pip install 'spacy_spanmed\[{extra}\]'"):
        read(name)


def test_dataset_saved_on_disk(tmp_path):
    datasets = pytest.importorskip("datasets")
    train = datasets.Dataset.from_dict({"text": ["ka", "lo", None], "n": [1, 2, 3]})
    train.save_to_disk(tmp_path / "plain")
    splits = datasets.DatasetDict({"train": train, "test": train.select([1])})
    splits.save_to_disk(tmp_path / "splits")
    assert read(tmp_path / "plain") == read(f"hf:{tmp_path}/plain") == ["ka", "lo"]
    assert read(tmp_path / "splits") == ["ka", "lo"]
    assert read(f"hf:{tmp_path}/splits?split=test") == ["lo"]
    with pytest.raises(ValueError, match="split"):
        read(f"hf:{tmp_path}/splits?split=dev")
    with pytest.raises(ValueError, match="no column 'body'"):
        read(tmp_path / "plain", text_field="body")
    prints = [
        fingerprint([name])["sha256"]
        for name in (
            str(tmp_path / "plain"),
            f"hf:{tmp_path}/plain",
            f"hf:{tmp_path}/splits?split=test",
        )
    ]
    assert prints[0] == prints[1] != prints[2]


def test_dataset_by_name(monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(name, config, **options):
        asked.append((name, config, options))
        return datasets.Dataset.from_dict({"text": ["ka"]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read("hf:allenai/c4?config=en&split=train[:1%]&revision=abc") == ["ka"]
    options = {"split": "train[:1%]", "revision": "abc", "streaming": False}
    assert asked == [("allenai/c4", "en", options)]
    with pytest.raises(ValueError, match="write hf:NAME"):
        read("hf:allenai/c4?lang=en")


def test_dataset_read_over_the_network_counts_with_its_commit(monkeypatch):
    prints = set()
    for commit in ("abc", "def"):
        monkeypatch.setattr(tables, "find_commit", lambda name: commit)
        prints |= {fingerprint(["hf:allenai/c4"], streaming=True)["sha256"]}
    prints |= {fingerprint(["hf:allenai/c4?config=en"], streaming=True)["sha256"]}
    assert len(prints) == 3


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.jsonl", b'{"text": "ka"}\n\n{\n', r"a\.jsonl:3: expected a JSON object"),
        ("a.jsonl", b'{"txt": "a"}', r"a\.jsonl:1: .*KeyError: 'text'.*data.text_field"),
        ("a.jsonl", b'{"text": 3}', r'a\.jsonl:1: .*"text" is no string'),
        ("a.jsonl", b"[1]", r"a\.jsonl:1: "),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: "),
        ("a.txt", b"\x7fELF\0\0\0", r"a\.txt: holds zero bytes"),
        ("a.txt", "ka".encode("utf-16"), r"a\.txt: "),
        ("a.txt.gz", gzip.compress(b"ka" * 1000, mtime=0)[:-9], "damaged or ends early"),
        ("a.txt.gz", b"\x1f\x8b\x08\0broken", "damaged or ends early"),
        ("a.tar", b"no archive" * 100, "not a whole tar archive"),
        ("a.xml", b"<urlset><url/></urlset>", r"a\.xml: XML without <PubmedArticle>"),
        ("a.parquet", b"PAR1" + bytes(20), "not a whole Parquet file"),
    ],
)
def test_unusable_text_is_named_or_skipped_and_counted(tmp_path, name, content, message):
    if name.endswith((".xml", ".parquet")):
        pytest.importorskip("lxml" if name.endswith(".xml") else "pyarrow")
    good = write(tmp_path / "good.txt", b"lo")
    path = write(tmp_path / "x" / name, content)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert 'data.on_error = "skip"' in str(error.value)
    problems = TextProblems("skip")
    found = Sources([str(path), str(good)], TextOptions(), problems).read(Meter())
    assert [document.text for document in found][-1] == "lo"
    assert sum(problems.counts.values()) == 1


@pytest.mark.parametrize(
    "name, content, message, kept",
    [
        (
            "a.jsonl",
            b'{"text": "k\xe4"}',
            r"a\.jsonl:1: byte 0xe4, number 12 of the line, is not UTF-8.*iconv",
            ["k\xe4"],
        ),
        ("a.txt", b"ka\nlo\xff", r"a\.txt:2: byte 0xff, number 3 of the line", ["ka\nlo\xff"]),
    ],
)
def test_what_is_not_utf8_is_named_or_kept_as_latin1_and_counted(
    tmp_path, name, content, message, kept
):
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert 'data.on_error = "skip"' in str(error.value)
    problems = TextProblems("skip")
    found = Sources([str(path)], TextOptions(), problems).read(Meter())
    assert [document.text for document in found] == kept
    assert problems.counts == {text_files.NOT_UTF8: 1}


@pytest.mark.parametrize(
    "name, message",
    [
        ("missing.jsonl", "missing.jsonl' do not exist"),
        ("missing", "missing' do not exist"),
        ("empty", "empty' holds no texts"),
        ("a.csv", r"a\.csv' tells no format.*\.parquet"),
        ("hf:", "write hf:NAME"),
    ],
)
def test_entry_that_is_no_text_is_refused(tmp_path, name, message):
    write(tmp_path / "empty" / "sub" / "a.pdf", b"%PDF")
    write(tmp_path / "a.csv", b"ka")
    with pytest.raises(ValueError, match=message):
        read(name if name.startswith("hf:") else tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="needs a fifo")
def test_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="pipe or device"):
        read(tmp_path / "a.txt")


def test_giant_line_and_giant_document_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "MAX_LINE", 1000)
    monkeypatch.setattr(reading, "MAX_DOCUMENT", 1000)
    path = write(tmp_path / "a.txt", b"ka\n" + b"x" * 1500)
    with pytest.raises(ValueError, match=r"a\.txt: more than 1,000 bytes.*data.txt_documents"):
        read(path)
    with pytest.raises(ValueError, match=r"a\.txt:2: a line of more than 1,000 bytes"):
        read(path, txt_documents="line")
    path.write_bytes(b"ka\n" + b"x" * 3000 + b"\nlo\n")
    problems = TextProblems("skip")
    options = TextOptions(txt_documents="line")
    found = Sources([str(path)], options, problems).read(Meter())
    assert [(d.text, d.place) for d in found] == [("ka", f"{path}:1"), ("lo", f"{path}:3")]
    assert problems.counts == {"line that is too long": 1}
    path.write_bytes(b"ka ka\n" * 300)
    assert len(read(path, txt_documents="line")) == 300
    with pytest.raises(ValueError, match=r"a\.txt:1: more than 1,000 bytes"):
        read(path, txt_documents="paragraph")


def test_unreadable_folder_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match="can't be read: Permission denied"):
        read(tmp_path)


def test_fingerprint_is_of_names_in_the_folder_and_content(tmp_path):
    for folder in ("one", "two"):
        write(tmp_path / folder / "a.txt", b"ka")
        write(tmp_path / folder / "sub" / "b.txt", b"lo")
    one, two = (fingerprint([str(tmp_path / folder)]) for folder in ("one", "two"))
    assert one["sha256"] == two["sha256"] and one["files"] == 2 and one["bytes"] == 4
    (tmp_path / "two" / "a.txt").rename(tmp_path / "two" / "c.txt")
    assert fingerprint([str(tmp_path / "two")])["sha256"] != one["sha256"]
    write(tmp_path / "one" / "sub" / "b.txt", b"LO")
    assert fingerprint([str(tmp_path / "one")])["sha256"] != one["sha256"]
    alone = fingerprint([str(tmp_path / "one" / "a.txt")])
    both = fingerprint([str(tmp_path / "one" / name) for name in ("a.txt", "sub/b.txt")])
    assert alone["sha256"] != both["sha256"]
    assert both["path"] == [str(tmp_path / "one" / name) for name in ("a.txt", "sub/b.txt")]
    with pytest.raises(ValueError, match="nope.txt' do not exist"):
        fingerprint([str(tmp_path / "nope.txt")])


def test_fingerprint_of_a_file_is_of_its_kind_and_content(tmp_path):
    names = ("a.txt", "b.txt", "b.v2.TXT", "a.jsonl", "a.txt.gz")
    for name in names:
        (tmp_path / name).write_bytes(b'{"text": "ka"}')
    prints = [fingerprint([str(tmp_path / name)])["sha256"] for name in names]
    assert prints[0] == prints[1] == prints[2]
    assert len(set(prints)) == 3


def test_what_is_no_file_in_a_folder_counts_as_little_as_it_is_read(tmp_path):
    write(tmp_path / "texts" / "a.txt", b"ka")
    alone = fingerprint([str(tmp_path / "texts")])
    write(tmp_path / "elsewhere" / "b.txt", b"lo")
    (tmp_path / "texts" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "texts" / "broken.txt").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "texts" / "pipe.txt")
    assert read(tmp_path / "texts") == ["ka"]
    assert fingerprint([str(tmp_path / "texts")]) == alone
