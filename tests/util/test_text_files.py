import gzip

import pytest

from spacy_spanmed.util import text_files
from spacy_spanmed.util.files import write_text_atomically
from spacy_spanmed.util.problems import CorpusError, Problems
from spacy_spanmed.util.text_files import (
    Meter,
    decode,
    file_stem,
    open_bytes,
    printable,
    read_lines,
)

LINES = "".join(f"Line {i} is about renal cells.\n" for i in range(20000)).encode()


def put(tmp_path, data):
    path = tmp_path / "file.txt"
    path.write_bytes(data)
    return path


def lines(path, on_error="raise"):
    return [line for _, line in read_lines(path, Problems(on_error))]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_line_ends_and_byte_order_mark(tmp_path, pack):
    data = "\ufeffone\r\n\ntwo\u2028\x85\x0b\rstill two\n three ".encode()
    path = put(tmp_path, pack(data))
    assert list(read_lines(path, Problems())) == [
        (1, "one"),
        (2, ""),
        (3, "two\u2028\x85\x0b\rstill two"),
        (4, " three "),
    ]
    with open_bytes(path) as file:
        assert file.read() == data


def test_empty_files(tmp_path):
    assert lines(put(tmp_path, b"")) == []
    assert lines(put(tmp_path, gzip.compress(b""))) == []
    assert lines(put(tmp_path, b"\n")) == [""]


def test_gzip_of_several_members(tmp_path):
    assert lines(put(tmp_path, gzip.compress(b"a\nb") + gzip.compress(b"c\n"))) == ["a", "bc"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[: len(packed) // 2],
        lambda packed: packed[:-4],
        lambda packed: packed[:2],
        lambda packed: packed[: len(packed) // 2] + bytes(50) + packed[len(packed) // 2 + 50 :],
        lambda packed: packed + b"more",
    ],
)
def test_damaged_gzip_names_file_and_line(tmp_path, damage):
    path = put(tmp_path, damage(gzip.compress(LINES)))
    read = []
    with pytest.raises(CorpusError) as info:
        for number, line in read_lines(path, Problems("skip")):
            read.append((number, line))
    assert str(path) in str(info.value)
    assert f"line {len(read)}." in str(info.value)
    assert [line for _, line in read] == LINES.decode().split("\n")[: len(read)]
    with pytest.raises(CorpusError), open_bytes(path) as file:
        file.read()


def test_bytes_that_are_not_utf8(tmp_path):
    path = put(tmp_path, "good \u03b2\n".encode() + b"caf\xe9 \xce\xb2\nend\n")
    with pytest.raises(CorpusError, match=r"file\.txt:2: byte 0xe9, number 4 .*UTF-8"):
        lines(path)
    problems = Problems("skip")
    assert [line for _, line in read_lines(path, problems)] == [
        "good \u03b2",
        "caf\u00e9 \u00ce\u00b2",
        "end",
    ]
    assert problems.counts == {"not UTF-8": 1}


def test_lines_without_end_do_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "MAX_LINE", 100)
    assert lines(put(tmp_path, b"a" * 99 + b"\n" + b"b" * 100))
    for data in (b"a\n" + b"b" * 101, gzip.compress(b"a\n" + b"b" * 100_000)):
        with pytest.raises(CorpusError, match=r"file\.txt:2: a line of more than 100 bytes"):
            lines(put(tmp_path, data))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_line_that_is_too_long_can_be_left_out(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(text_files, "MAX_LINE", 100)
    path = put(tmp_path, pack(b"a\n" + b"b" * 350 + b"\nc\n"))
    problems = Problems("skip")
    assert list(read_lines(path, problems)) == [(1, "a"), (3, "c")]
    assert problems.counts == {"line that is too long": 1}


def test_line_and_byte_are_named_in_a_whole_file():
    with pytest.raises(CorpusError, match=r"x:3: byte 0xff, number 2 of the line, .* iconv\.$"):
        decode(b"one\ntwo\nt\xff", "x", Problems(hint=""))


def test_meter_counts_packed_bytes(tmp_path):
    path, meter = put(tmp_path, gzip.compress(LINES)), Meter()
    with open_bytes(path, meter) as file:
        assert file.read() == LINES
    assert meter.done == path.stat().st_size < len(LINES)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        lines(tmp_path / "no such file")
    with pytest.raises(OSError):
        lines(tmp_path)


def test_writing(tmp_path):
    plain, packed = tmp_path / "new" / "a.txt", tmp_path / "new" / "a.txt.gz"
    for path in (plain, packed):
        write_text_atomically(path, iter(["\u03b2-cells\n", "", "grow\r\n"]))
    assert plain.read_bytes() == "\u03b2-cells\ngrow\r\n".encode()
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    before = packed.read_bytes()
    write_text_atomically(packed, ["\u03b2-cells\ngrow\r\n"])
    assert gzip.decompress(packed.read_bytes()) == gzip.decompress(before)
    assert packed.read_bytes()[4:8] == bytes(4)  # no time stamp
    assert sorted(path.name for path in plain.parent.iterdir()) == ["a.txt", "a.txt.gz"]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_failure_while_writing_leaves_the_old_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")

    def chunks():
        yield "new" * 100_000
        raise CorpusError("stop")

    with pytest.raises(CorpusError, match="stop"):
        write_text_atomically(path, chunks())
    with pytest.raises(CorpusError, match="can't be written as UTF-8"):
        write_text_atomically(path, ["half \ud800 a character"])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_stem(tmp_path):
    assert [file_stem(tmp_path / n) for n in ("a.b.conll.gz", "a.jsonl", "a", ".gz", "a.GZ")] == [
        "a.b",
        "a",
        "a",
        "",
        "a",
    ]


def test_a_folder_is_not_written_over(tmp_path):
    with pytest.raises(CorpusError, match="a folder. Choose another output"):
        write_text_atomically(tmp_path, ["x"])


def test_lone_surrogates_are_written_out_for_terminals():
    assert printable("caf\udce9 \u00e9") == "caf\\udce9 \u00e9"
