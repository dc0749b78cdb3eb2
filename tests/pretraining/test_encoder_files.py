import json
import re
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel

from spacy_spanmed.encoder.resolving import resolve_encoder
from spacy_spanmed.pretraining import checkpoints
from spacy_spanmed.pretraining import encoder_files as loading
from spacy_spanmed.pretraining.encoder_files import load_encoder, publish, save_encoder
from spacy_spanmed.pretraining.model import PretrainingModel
from tests.pretraining.processes import run
from tests.pretraining.test_resume import EXACT


@pytest.fixture
def copy(tiny_encoder, tmp_path):
    return shutil.copytree(tiny_encoder, tmp_path / "copy")


def test_dropout_is_off_while_training_and_back_in_the_saved_config(tiny_encoder, tmp_path):
    loaded = load_encoder(str(tiny_encoder), block_length=32)
    rates = {m.p for m in loaded.model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.0} and loaded.heads == {}
    heads = {"decoder_bias": torch.ones(3)}
    save_encoder(tmp_path / "out", loaded.model, loaded.tokenizer, heads, loaded.dropout)
    assert AutoModel.from_pretrained(tmp_path / "out").config.hidden_dropout_prob == 0.1
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == len(loaded.tokenizer)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    again = load_encoder(str(tmp_path / "out"), block_length=32)
    assert torch.equal(again.heads["decoder_bias"], heads["decoder_bias"])
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key])


def test_unknown_name(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="'no-such-encoder' is neither a directory nor"):
        load_encoder("no-such-encoder", block_length=32)


def test_directory_without_tokenizer(copy):
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match="has no tokenizer"):
        load_encoder(str(copy), block_length=32)


def test_directory_without_weights(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be read.*model.safetensors"):
        load_encoder(str(copy), block_length=32)


def test_torn_weights(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        load_encoder(str(copy), block_length=32)


def test_tokenizer_of_another_model(copy):
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["zebra", "gnu"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(ValueError, match="ids up to 27, but the model embeds only 26"):
        load_encoder(str(copy), block_length=32)


def test_sequence_longer_than_the_model(tiny_encoder):
    load_encoder(str(tiny_encoder), block_length=64)
    with pytest.raises(ValueError, match="block_length is 65.*at most 64"):
        load_encoder(str(tiny_encoder), block_length=65)


def test_roberta_reads_less_than_it_has_positions():
    config = RobertaConfig(
        vocab_size=10,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=34,
        pad_token_id=1,
    )
    assert loading._length_limit(RobertaModel(config)) == 32


def test_resolving_names(tiny_encoder, tmp_path):
    assert resolve_encoder(str(tiny_encoder)) == str(tiny_encoder)
    assert resolve_encoder("owner/name") == "owner/name"
    with pytest.raises(ValueError, match="pip install no-such-encoder"):
        resolve_encoder("package:no_such_encoder")
    with pytest.raises(ValueError, match="holds no model"):
        resolve_encoder("package:json")
    with pytest.raises(ValueError, match="does not exist"):
        resolve_encoder(str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="no config.json"):
        resolve_encoder(str(tmp_path))
    with pytest.raises(ValueError, match="empty"):
        resolve_encoder(" ")


def test_publish_replaces_a_directory(tmp_path):
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(json.dumps(name))
    publish(tmp_path / "new", tmp_path / "target")
    assert json.loads((tmp_path / "target" / "content").read_text()) == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_after_a_broken_loss_the_last_weights_can_be_used(config_file, tmp_path, monkeypatch):
    def forward(self, *args, **kwargs):
        output = model_forward(self, *args, **kwargs)
        calls.append(self.training)
        broken = self.training and sum(calls) == 13
        return {**output, "loss": output["loss"] * float("nan")} if broken else output

    calls, model_forward = [], PretrainingModel.forward
    with monkeypatch.context() as patch:
        patch.setattr(PretrainingModel, "forward", forward)
        with pytest.raises(ValueError, match="became nan at step 13") as error:
            run(config_file, EXACT)
    kept = tmp_path / "checkpoints" / "checkpoint-10"
    assert checkpoints.find_fault(kept) is None
    (name,) = re.findall(r"--model.encoder (\S+) with other --paths.checkpoints", str(error.value))
    assert name == str(kept)
    weights = load_file(kept / "model.safetensors")
    loaded = load_encoder(name, block_length=32)
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, weights[f"encoder.{key}"]), key
    assert torch.equal(loaded.heads["decoder_bias"], weights["decoder_bias"])
    again = {"model.encoder": name, "paths.checkpoints": str(tmp_path / "other")}
    result, _ = run(config_file, {**EXACT, **again, "training.learn_rate": 1e-4})
    assert "decoder_bias" in result["head_weights_taken_over"]
    (kept / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="checkpoint-10' cannot be used: model.safetensors has"):
        load_encoder(name, block_length=32)


def test_checkpoint_alone_does_not_tell_its_encoder(tmp_path):
    checkpoint = tmp_path / "checkpoint-5"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"")
    checkpoints.seal(checkpoint)
    with pytest.raises(ValueError, match="does not tell which encoder it continues"):
        load_encoder(str(checkpoint), block_length=32)


def test_doubtful_tokenizers_are_warned_of(tiny_encoder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_encoder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "pad_token_id": 3}))
    with pytest.warns(UserWarning, match="pads with id 0, the model with 3: if it is not the one"):
        load_encoder(str(other), block_length=32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_encoder(str(tiny_encoder), block_length=32)
