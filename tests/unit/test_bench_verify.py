"""`sidechain bench verify`: both passes over the same lines, and the memory of the longer one."""

import json
import subprocess
import sys


def test_it_measures_both_passes_and_their_memory() -> None:
    command = [sys.executable, "-m", "sidechain.agents", "bench", "verify", "--json", "--entries", "2000"]
    done = subprocess.run([*command, "--rounds", "1"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    verify, plain = figures["verify_entries_per_s"], figures["sha256_lines_per_s"]
    assert figures["ratio"] == round(verify / plain, 3)
    assert figures["signed_ratio"] == round(figures["signed_entries_per_s"] / plain, 3)
    assert figures["bytes_per_entry"] > 500
    assert 10_000 < figures["rss_kib"] < 200_000
    # Blocks of a megabyte come and go; the 7 MB by which the longer file is longer may not be held.
    assert figures["rss_kib_longer"] < figures["rss_kib"] + 5_000
