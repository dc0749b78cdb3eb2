from pathlib import Path

import pytest

from spacy_spanmed.pretraining.config import load_settings
from spacy_spanmed.pretraining.maskers import SpanMasker, TokenMasker, WholeWordMasker
from tests import ROOT

DEFAULT = ROOT / "configs" / "pretrain.cfg"


def test_default_config_is_valid_and_lists_every_setting():
    settings, source = load_settings(DEFAULT)
    assert isinstance(settings.masker, SpanMasker)
    for section in ("paths", "data", "system", "model", "training", "logging"):
        assert set(source[section]) == set(type(getattr(settings, section)).model_fields)


def test_domain_config_is_valid():
    settings, _ = load_settings(DEFAULT.with_name("domain.cfg"))
    assert settings.data.held_out and not settings.paths.dev
    assert settings.data.exclude  # what the encoder is measured on


@pytest.mark.parametrize(
    "name, masker",
    [
        ("TokenMasker", TokenMasker),
        ("WholeWordMasker", WholeWordMasker),
        ("SpanMasker", SpanMasker),
    ],
)
def test_maskers_are_chosen_by_name(config_file, name, masker):
    settings, _ = load_settings(config_file, {"masker.@misc": f"spanmed.{name}.v1"})
    assert type(settings.masker) is masker


def test_held_out_texts_come_from_one_place(config_file):
    share = {"paths.dev": [], "data.held_out": 0.1}
    for nothing in ([], None):
        settings, _ = load_settings(config_file, {**share, "paths.dev": nothing})
        assert settings.paths.dev == [] and settings.data.held_out == 0.1
    for wrong in ({"data.held_out": 0.1}, {"paths.dev": []}):
        with pytest.raises(ValueError, match="paths.dev, or .* data.held_out, one of the two"):
            load_settings(config_file, wrong)
    with pytest.raises(ValueError, match="streaming needs held-out texts of their own"):
        load_settings(config_file, {**share, "data.streaming": True})


@pytest.mark.parametrize("pair", [["(", ""], ["a", "\\1"]])
def test_replacements_are_checked(config_file, pair):
    with pytest.raises(ValueError, match="data -> replace"):
        load_settings(config_file, {"data.replace": [pair]})


def test_overrides_reach_the_settings(config_file):
    settings, source = load_settings(config_file, {"training.total_tokens": 99})
    assert settings.training.total_tokens == source["training"]["total_tokens"] == 99


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"training.totl_tokens": 1}, "training -> totl_tokens: .*unknown key"),
        ({"training.total_tokens": "many"}, "training -> total_tokens"),
        ({"training.total_tokens": 0}, "training -> total_tokens"),
        ({"training.total_tokens": True}, "training -> total_tokens: needs a value, not true"),
        ({"data.held_out": True}, "data -> held_out: needs a value"),
        ({"paths.dev": True}, "paths -> dev: needs a value"),
        ({"training.precision": "float8"}, "training -> precision"),
        (
            {
                "data.streaming": True,
                "training.dynamic_masking": False,
            },
            "training.dynamic_masking = false needs texts that are kept",
        ),
        ({"masker.rates": 0.1}, "rates"),
        ({"masker.rate": 1.5}, "rate must lie between"),
        ({"masker.@misc": "spanmed.NoMasker.v1"}, "spanmed.NoMasker.v1"),
        ({"masker.@misc": "spacy.levenshtein_compare.v1", "masker.rate": 0.1}, "masker|rate"),
        ({"objective.weight": 1.0}, "objective"),
    ],
)
def test_faults_are_named_with_the_file(config_file, overrides, message):
    with pytest.raises(ValueError, match=message) as error:
        load_settings(config_file, overrides)
    assert str(error.value).startswith(str(config_file))
    assert "\n" not in str(error.value)


def test_unknown_section_and_missing_file(config_file):
    text = config_file.read_text()
    config_file.write_text(text + "\n[objectives]\nsbo = 1\n")
    with pytest.raises(ValueError, match="objectives"):
        load_settings(config_file)
    config_file.write_text(text.split("[masker]")[0])
    with pytest.raises(ValueError, match="masker.*required|training.*required"):
        load_settings(config_file)
    with pytest.raises(ValueError, match="does not exist"):
        load_settings(Path("nope.cfg"))
