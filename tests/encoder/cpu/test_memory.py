"""How the C library is told to handle freed memory."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from spacy_spanmed.encoder.cpu.memory import keep_freed_memory
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
from spacy_spanmed.encoder.cpu.memory import give_back_freed_memory, keep_freed_memory
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
