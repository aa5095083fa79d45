"""`bench verify`: entries checked a second from a file, beside a plain SHA-256 pass over the same lines.

The same is measured with a signed checkpoint every 2,000 entries, each checked: signature, root, head and totals.
Each round runs all in processes of their own, one after the other, over the same file; medians are reported. The file
is then made five times as long, and the most memory each pass over it took is set beside that of the first.
"""

import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import machine
from sidechain.agents.problems import EnvironmentProblem
from sidechain.models.decider import Decider
from sidechain.models.pack_file import load_pack
from sidechain.models.policy import Policy
from sidechain.models.proof.certificate import Certificate, Scope, certify
from sidechain.models.proof.checkpoint import Origin
from sidechain.models.proof.ledger import Ledger
from sidechain.models.proof.note import SigningKey, VerifierKey, sign
from sidechain.topics.codec import encode
from sidechain.topics.dry import CheckpointRecord

LONGER: Final = 5  # times as many entries, for the memory
BATCH: Final = 2_000
WITHIN_S: Final = 600.0

PASSES: Final = {
    "signed": (
        "beside = Beside(Trust(VerifierKey.parse(sys.argv[3])), {0: Path(sys.argv[2])})\n"
        "proof = verify_file(path, lambda _: None, beside)\n"
        "assert proof.fault is None and proof.epochs[0].covered == proof.entries"
    ),
    "verify": "proof = verify_file(path, lambda _: None)\nassert proof.fault is None",
    "sha256": "with path.open('rb') as file:\n    for line in file:\n        sha256(line).hexdigest()",
}


def verifying(pack: str, entries: int, rounds: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Run the measurement and return its figures."""
    policy = load_pack(pack)
    with TemporaryDirectory(prefix="sidechain-bench-") as folder:
        short, long = Path(folder) / "short.ndjson", Path(folder) / "long.ndjson"
        told(f"sealing {entries * LONGER:,} entries of pack {pack}")
        root = _seal(policy, entries, short)
        long_root = _seal(policy, entries * LONGER, long)
        size = short.stat().st_size
        rates: dict[str, list[float]] = {name: [] for name in PASSES}
        for turn in range(rounds):
            found = {name: _pass(name, short, root) for name in PASSES}
            for name, (seconds, _) in found.items():
                rates[name].append(entries / seconds)
            told(
                f"round {turn + 1} of {rounds}: " + ", ".join(f"{name} {one[-1]:,.0f}/s" for name, one in rates.items())
            )
        memory = {"rss_kib": found["signed"][1], "rss_kib_longer": _pass("signed", long, long_root)[1]}
    verify, plain = median(rates["verify"]), median(rates["sha256"])
    signed = median(rates["signed"])
    return {
        "verify_entries_per_s": round(verify),
        "sha256_lines_per_s": round(plain),
        "ratio": round(verify / plain, 3),
        "signed_entries_per_s": round(signed),  # every checkpoint's signature, root, head and totals checked as well
        "signed_ratio": round(signed / plain, 3),
        "entries_per_checkpoint": BATCH,
        "entries": entries,
        "bytes_per_entry": round(size / entries),
        **memory,
        "longer": LONGER,
        "rounds": rounds,
        "pack": policy.ref,
        "machine": machine(),
    }


def _seal(policy: Policy, entries: int, path: Path) -> VerifierKey:
    """Write a chain, and beside it a checkpoint for every batch; returns the root's key."""
    decider, ledger = Decider(policy), Ledger()
    events, origin = numbered(policy, entries), Origin("bench", 0, 0)
    root, worker = SigningKey("root", Ed25519PrivateKey.generate()), SigningKey("worker", Ed25519PrivateKey.generate())
    certificate = str(certify(Certificate(serial=1, key=worker.verifier, scopes=(Scope("sidechain/bench"),)), root))
    try:
        with path.open("wb") as file, _records(path).open("wb") as records:
            while batch := list(islice(events, BATCH)):
                lines = decider.lines(batch)
                file.writelines(one + b"\n" for one in lines)
                ledger.extend(lines)
                note = str(sign(ledger.checkpoint(origin).text(), [worker]))
                records.write(encode(CheckpointRecord(note=note, peaks=(), certificate=certificate)) + b"\n")
    except OSError as error:
        raise EnvironmentProblem(
            f"there is no room for {entries:,} entries in {path.parent}: {error.strerror}"
        ) from None
    return root.verifier


def _records(path: Path) -> Path:
    return path.with_suffix(".checkpoints")


def _pass(name: str, path: Path, root: VerifierKey) -> tuple[float, int]:
    """Seconds of one pass in a fresh process, and the most memory it held, KiB."""
    code = (
        "import json, sys, time\nfrom hashlib import sha256\nfrom pathlib import Path\n"
        "from sidechain.agents.believing import Trust\n"
        "from sidechain.agents.verify_files import Beside, verify_file\n"
        "from sidechain.models.proof.note import VerifierKey\n"
        f"path = Path(sys.argv[1])\nbegin = time.perf_counter()\n{PASSES[name]}\n"
        "took = time.perf_counter() - begin\n"
        # Not getrusage: its figure begins with what the process that started this one held.
        "status = dict(one.split(':', 1) for one in Path('/proc/self/status').read_text().splitlines())\n"
        "print(json.dumps([took, int(status['VmHWM'].split()[0])]))\n"
    )
    if not Path("/proc/self/status").exists():
        raise EnvironmentProblem("the most memory a process held is read from /proc, which only Linux has")
    command = [sys.executable, "-c", code, str(path), str(_records(path)), str(root)]
    done = subprocess.run(command, capture_output=True, timeout=WITHIN_S, check=True)
    seconds, memory = msgspec.json.decode(done.stdout, type=tuple[float, int])
    return seconds, memory
