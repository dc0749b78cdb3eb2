"""Which precision a device is faster in, and how the C library is told to handle freed memory."""

import platform
import subprocess
import sys

import pytest
import torch

from spacy_spanmed.encoder.cpu import machine
from spacy_spanmed.encoder.cpu.machine import bf16_pays

COUNT = """
import resource, torch
from spacy_spanmed.encoder.cpu.machine import keep_freed_memory
if {kept}:
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(15):
        torch.ones(20_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of GNU's C library")
def test_freed_memory_is_used_again():
    def count(kept: bool) -> int:
        code = COUNT.format(kept=kept)
        return int(
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        )

    assert count(kept=True) < count(kept=False) / 10


GAPS = """
import re, torch
from spacy_spanmed.encoder.cpu.machine import give_back_freed_memory, keep_freed_memory
def memory():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
assert keep_freed_memory()
before = memory()
kept = []
for _ in range(40):
    kept.append(torch.ones(1_000))
    kept.append(torch.ones(2_600_000))
kept = kept[::2]  # between any two that are left, 10 MB are free
high = memory() - before
assert give_back_freed_memory()
print(high, memory() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of GNU's C library")
def test_freed_memory_between_other_goes_back():
    done = subprocess.run([sys.executable, "-c", GAPS], capture_output=True, text=True, check=True)
    high, low = map(int, done.stdout.split())
    assert high > 300 and low < 50


@pytest.fixture
def hardware(monkeypatch, tmp_path):
    """Set what the processor says of itself."""

    def pretend(amx=False, instructions=False, cpu_info=None):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
        monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
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
