"""Mixtures of maskers, from the config to the record of a run."""

import io
from collections import Counter

import numpy as np
import pytest
from rich.console import Console

from spacy_spanmed.pretraining.config import load_settings
from spacy_spanmed.pretraining.maskers import (
    EntityMasker,
    MixedMasker,
    PMIMasker,
    SpanMasker,
    TokenMasker,
    WholeWordMasker,
    mask_rng,
)
from spacy_spanmed.pretraining.run import pretrain
from tests.pretraining.conftest import make_texts

WORDS = np.concatenate([[-1], np.repeat(np.arange(40), 3), [-1]])
MIXTURE = """
[masker]
@misc = "spanmed.MixedMasker.v1"

[masker.weights]
plain = 1
terms = 2.5
collocations = 1

[masker.maskers]

[masker.maskers.plain]
@misc = "spanmed.SpanMasker.v1"
rate = 0.2

[masker.maskers.terms]
@misc = "spanmed.EntityMasker.v1"
terms = "TERMS"

[masker.maskers.collocations]
@misc = "spanmed.PMIMasker.v1"
min_count = 5
"""


@pytest.fixture
def mixed_config(config_file, tmp_path):
    first, second, *_ = make_texts(300)[0].split()
    (tmp_path / "terms.txt").write_text(f"{first}\n{first} {second}\nxexexe\n")
    text = config_file.read_text().split("[masker]")
    rest = text[1].split("[training]")[1]
    mixture = MIXTURE.replace("TERMS", str(tmp_path / "terms.txt"))
    config_file.write_text(f"{text[0]}{mixture}\n[training]{rest}")
    return config_file


def test_maskers_are_drawn_by_their_weights():
    masker = MixedMasker(
        {"a": TokenMasker(), "b": WholeWordMasker(), "c": SpanMasker(), "never": SpanMasker()},
        {"a": 1, "b": 3, "c": 4, "never": 0},
    )
    counts = Counter(masker.draw(mask_rng(0, 0, sample)) for sample in range(4000))
    assert counts["never"] == 0
    expected = np.array([500, 1500, 2000])
    observed = np.array([counts["a"], counts["b"], counts["c"]])
    # Chi-square, 2 degrees of freedom: exceeded by chance once in 10,000 samples.
    assert ((observed - expected) ** 2 / expected).sum() < 18.4


def test_a_sequence_is_masked_by_the_masker_drawn_whatever_the_order_of_names():
    parts = {"a": TokenMasker(0.1), "b": WholeWordMasker(0.3)}
    masker = MixedMasker(parts, {"b": 1, "a": 1})
    turned = MixedMasker(dict(reversed(parts.items())), {"a": 2, "b": 2})
    for sample in range(40):
        units = masker.select(WORDS, mask_rng(0, 0, sample))
        assert len(units) == 12 and set(units[:, 1] - units[:, 0]) <= {1, 3}
        rng = mask_rng(0, 0, sample)
        assert np.array_equal(units, parts[masker.draw(rng)].select(WORDS, rng))
        assert np.array_equal(units, turned.select(WORDS, mask_rng(0, 0, sample)))


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"a": -1.0, "b": 1.0}, "that of 'a' is -1.0"),
        ({"a": float("nan"), "b": 1.0}, "that of 'a' is nan"),
        ({"a": 0.0, "b": 0.0}, "more than 0"),
        ({"a": 1.0}, r"maskers are \['a', 'b'\] and the weights are \['a'\]"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "needs a weight of the same name"),
    ],
)
def test_impossible_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        MixedMasker({"a": TokenMasker(), "b": SpanMasker()}, weights)


def test_mixture_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs a weight of the same name"):
        MixedMasker({}, {})


def test_mixture_in_a_config(mixed_config, tmp_path):
    settings, _ = load_settings(mixed_config)
    masker = settings.masker
    kinds = {name: type(each) for name, each in masker.maskers.items()}
    assert kinds == {"plain": SpanMasker, "terms": EntityMasker, "collocations": PMIMasker}
    assert masker.maskers["plain"].rate == 0.2 and masker.maskers["collocations"].min_count == 5
    assert masker.weights["terms"] == pytest.approx(2.5 / 4.5)
    assert masker.files == {"terms.terms": tmp_path / "terms.txt"}


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"masker.weights.plain": -1}, "that of 'plain' is -1"),
        ({"masker.weights.plain": "often"}, "weights"),
        ({"masker.maskers.plain.@misc": "spanmed.NoMasker.v1"}, "spanmed.NoMasker.v1"),
        ({"masker.maskers.plain.rates": 0.1}, "rates"),
        ({"masker.maskers.plain.rate": 2.0}, "rate must lie between"),
        ({"masker.maskers.plain": 5}, "masker.maskers.plain is no masker"),
        ({"masker.maskers.terms.terms": "nowhere.txt"}, "'nowhere.txt' does not exist"),
        ({"masker.maskers.collocations.vocabulary": 0}, "vocabulary must be at least 1"),
    ],
)
def test_faults_are_named_with_the_file(mixed_config, overrides, message):
    with pytest.raises(ValueError, match=message) as error:
        load_settings(mixed_config, overrides)
    assert str(error.value).startswith(str(mixed_config))
    assert "\n" not in str(error.value)


def test_faults_in_a_terms_file_reach_the_user(mixed_config, tmp_path):
    (tmp_path / "terms.txt").write_bytes(b"ka\n\xff\n")
    with pytest.raises(ValueError, match=r"pretrain\.cfg: .*terms\.txt:2: byte 0xff"):
        load_settings(mixed_config)


def run(config, overrides):
    output = io.StringIO()
    settings, source = load_settings(config, overrides)
    result = pretrain(settings, source, console=Console(file=output, width=250))
    return result, output.getvalue()


def test_a_run_prepares_measures_and_records_its_masker(mixed_config, tmp_path):
    short = {"training.total_tokens": 256, "training.dev_blocks": 16}
    result, output = run(mixed_config, short)
    found = result["masker"]["found"]
    assert result["masker"]["name"] == "mixed" and set(found) == {"terms", "collocations"}
    assert found["terms"]["terms"] == 3 and 0 < found["terms"]["coverage"] < 1
    assert sum(found["collocations"]["collocations"].values()) > 0
    assert "Masker 'mixed'" in output
    for figures in result["heldout"].values():
        assert list(figures) == ["token", "whole_word", "span", "mixed"]
        assert figures["mixed"]["perplexity"] > 1
    assert result["data"]["masker.terms.terms"]["path"] == str(tmp_path / "terms.txt")

    assert "is the finished result" in run(mixed_config, short)[1]
    with (tmp_path / "terms.txt").open("a") as terms:
        terms.write("lo\n")
    again, output = run(mixed_config, short)
    assert "is the finished result" not in output  # other terms make another run
    assert again["masker"]["found"]["terms"]["terms"] == 4
