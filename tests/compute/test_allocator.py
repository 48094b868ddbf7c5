import subprocess
import sys

import pytest

# A tensor of 40 MB is more than the C library ever keeps by itself: 10,000 pages of 4 KiB.
MAKES_AND_FREES = """
import resource, torch
from rlrun.compute.allocator import keep_freed_memory

def page_faults():
    for _ in range(30):  # blocks are aligned, so that it takes some until a free one fits
        torch.ones(10_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults())
keep_freed_memory()
print(page_faults())
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only the GNU C library's allocator is told anything")
def test_what_was_freed_is_used_again_without_asking_the_system() -> None:
    command = [sys.executable, "-c", MAKES_AND_FREES]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    as_it_is, kept = map(int, printed.split())
    assert kept < 100
    assert as_it_is > 10_000  # otherwise there is nothing to gain any more
