"""Which precision a device is faster in."""

import pytest
import torch

from spacy_spanmed import precision
from spacy_spanmed.precision import bf16_pays


@pytest.fixture
def hardware(monkeypatch):
    """Set what the processor says of itself and how fast it is."""

    def pretend(amx=False, instructions=False, seconds=None):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
        if seconds:
            monkeypatch.setattr(precision, "_seconds", seconds.__getitem__)
        bf16_pays.cache_clear()

    yield pretend
    bf16_pays.cache_clear()


def test_amx_and_no_instructions_need_no_timing(hardware):
    hardware(amx=True, instructions=True, seconds={torch.bfloat16: 2.0, torch.float32: 1.0})
    assert bf16_pays("cpu")
    hardware(seconds={"not asked for": 1.0})
    assert not bf16_pays("cpu")


@pytest.mark.parametrize("seconds, pays", [(0.5, True), (2.0, False)])
def test_avx512_is_timed(hardware, seconds, pays):
    hardware(instructions=True, seconds={torch.bfloat16: seconds, torch.float32: 1.0})
    assert bf16_pays("cpu") is pays


def test_timing_is_of_this_machine():
    for dtype in (torch.bfloat16, torch.float32):
        assert 0 < precision._seconds(dtype) < 1
