"""Which precision a device is faster in."""

import pytest
import torch

from spacy_spanmed.encoder.cpu import precision
from spacy_spanmed.encoder.cpu.precision import bf16_pays


@pytest.fixture
def hardware(monkeypatch, tmp_path):
    """Set what the processor says of itself."""

    def pretend(amx=False, instructions=False, cpu_info=None):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
        monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
        if cpu_info is not None:
            (tmp_path / "cpuinfo").write_text(cpu_info)
        bf16_pays.cache_clear()

    yield pretend
    bf16_pays.cache_clear()


INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\n"
AMD = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: EPYC\n"


@pytest.mark.parametrize(
    "facts, pays",
    [
        ({"amx": True, "instructions": True, "cpu_info": INTEL}, True),
        ({"instructions": True, "cpu_info": INTEL}, False),
        ({"instructions": True, "cpu_info": AMD}, True),
        ({"instructions": True, "cpu_info": "processor : 0\n"}, False),
        ({"instructions": True}, False),  # no such file
        ({"cpu_info": AMD}, False),
    ],
)
def test_cpus(hardware, facts, pays):
    hardware(**facts)
    assert bf16_pays("cpu") is pays


def test_emulation_on_old_gpus_does_not_count(hardware, monkeypatch):
    hardware()
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert not bf16_pays("cuda")
