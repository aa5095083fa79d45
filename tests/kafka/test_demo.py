"""`sidechain demo` as a newcomer runs it: no Java, Maven or Docker on the PATH, the whole loop, and nothing left."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import until

RUN_S = 240.0
PROC = Path("/proc")
HOSTS = ["planted-1.example", "planted-2.example", "planted-3.example"]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty PATH and a temporary folder of its own: what the demo leaves lies there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "tmp").mkdir()
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "SIDECHAIN_CACHE")}
    environ = {**kept, "PATH": str(tmp_path / "bin"), "TMPDIR": str(tmp_path / "tmp")}
    for name in ("java", "mvn", "docker"):
        assert shutil.which(name, path=environ["PATH"]) is None
    return environ


def demo(environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sidechain.agents", "demo", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def left(environ: dict[str, str]) -> list[int]:
    """Processes that still name the demo's folder, whoever their parent is by now."""
    found = []
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if environ["TMPDIR"].encode() in said:
                found.append(int(entry.name))
    return found


def assert_nothing_left(environ: dict[str, str]) -> None:
    assert left(environ) == []
    assert [one.name for one in Path(environ["TMPDIR"]).iterdir() if one.name.startswith("sidechain")] == []


@pytest.fixture
def needs_broker(broker: Any) -> None:
    """Skips where no Kafka can be had; the demo starts one of its own."""


@pytest.mark.kafka
def test_the_demo_closes_the_loop_and_proves_it(needs_broker, bare) -> None:
    """All 30,969 requests decided, the planted hosts found, at least one decision changed by it, every proof holds."""
    running = demo(bare, "--json")
    out, said = running.communicate(timeout=RUN_S)
    assert running.returncode == 0, said
    report = json.loads(out)
    assert (report["sample"], report["sent"]) == (30_969, 31_689)
    assert sum(report["actions"].values()) == 30_969
    assert sum(report["planted_actions"].values()) == 720
    assert [one["key"] for one in report["planted"]] == HOSTS
    assert all(one["above_share"] > 0.95 for one in report["planted"]), report["planted"]
    assert all(one["risk"]["level"] != "normal" and one["risk"]["rationale"] for one in report["planted"])
    assert sum(one["compensations"] for one in report["planted"]) >= 1
    assert report["with_signals"] > 0
    assert len(report["differences"]) >= 1
    assert {one["action"] for one in report["differences"]} - {"allow"}
    for one in report["accounts"]:
        assert one["balanced"]
        assert one["kinds"].get("rejected", 0) == one["dead_letters"]
        assert sum(one["kinds"].values()) == one["events"] > 0
    assert sum(one["events"] for one in report["accounts"]) == report["sent"]
    for proofs in (report["verified"], report["replayed"]):
        assert [(one["partition"], one["fault"]) for one in proofs] == [(at, None) for at in range(4)]
        assert sum(one["entries"] for one in proofs) == report["sent"]
    signed = {one["partition"]: (one["size"], one["fault"]) for one in report["checkpoints"]}
    assert signed == {one["partition"]: (one["entries"], "") for one in report["verified"]}
    assert "verifying every seal and link" in said
    assert_nothing_left(bare)


@pytest.mark.kafka
@pytest.mark.skipif(not PROC.is_dir(), reason="NO /proc here: processes that are left cannot be looked for")
def test_an_interrupt_takes_everything_down(needs_broker, bare) -> None:
    """Ctrl-C while events flow: exit 130, no traceback, no process and no folder left."""
    running = demo(bare)
    assert running.stderr is not None
    told = []
    for line in running.stderr:
        told.append(line)
        if "entries:" in line:
            break
    assert len(left(bare)) >= 5, told  # the demo, the broker and three workers: the search below can find them
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, ""), said
    assert "Traceback" not in said
    until(lambda: left(bare) == [], lambda: str(left(bare)), within_s=10)
    assert_nothing_left(bare)


def test_a_pack_without_a_sample_is_refused_in_a_sentence(bare) -> None:
    """Exit 2, and which packs there are."""
    running = demo(bare, "--pack", "doors")
    out, said = running.communicate(timeout=60)
    assert (running.returncode, out) == (2, "")
    assert said == "sidechain: there is no sample for pack doors; there are samples for web, network, payments\n"
    assert_nothing_left(bare)
