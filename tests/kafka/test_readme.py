"""The README's commands, run as they stand there, in the order they stand there, in an empty folder."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"<!-- run -->\n```(sh|python)\n(.*?)```", re.DOTALL)
BOUND_S = 150


def blocks() -> list[tuple[str, str]]:
    """Language and text of every block that is marked to be run."""
    return BLOCK.findall(README.read_text(encoding="utf-8"))


def script(port: int) -> str:
    """All blocks as one shell session; the port is the only thing that is changed."""
    parts = []
    for language, text in blocks():
        parts.append(text if language == "sh" else f"python - <<'PYTHON'\n{text}PYTHON\n")
    return "set -euo pipefail\n" + "\n".join(parts).replace("127.0.0.1:9092", f"127.0.0.1:{port}")


@pytest.mark.kafka
@pytest.mark.skipif(shutil.which("kcat") is None, reason="NO KCAT, so the README is not run: apt-get install kcat")
def test_the_readme_can_be_followed_word_by_word(tmp_path: Path) -> None:
    """Every marked block succeeds, and the answers are the ones the text leads to expect."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(sys.executable).parent
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SIDECHAIN_")},
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SIDECHAIN_DATA": str(tmp_path / "data"),
        "SIDECHAIN_BROKER_PORT": str(port),
    }
    for kept in ("SIDECHAIN_CACHE", "SIDECHAIN_JARS"):
        if kept in os.environ:
            environ[kept] = os.environ[kept]
    session = subprocess.Popen(
        ["bash", "-c", script(port)],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = session.communicate(timeout=BOUND_S)
    finally:
        subprocess.run([folder / "sidechain", "broker", "stop"], env=environ, capture_output=True, check=False)
        if session.poll() is None:
            os.killpg(session.pid, 9)

    assert session.returncode == 0, output
    assert '"id":"req-1"' in output
    assert "req-2 allow" in output
    assert "req-1 was sent to review" in output
    assert "['review']" in output
    assert output.count("BROKEN") == 0


def test_the_first_screen_shows_what_the_demo_prints() -> None:
    """The lines of the demo's summary in the README are lines the demo can still print."""
    text = README.read_text(encoding="utf-8")
    shown = text.partition("```text\n")[2].partition("```")[0]

    assert "Decided 30,969 events of the sample and 720 planted ones" in shown
    assert "identical" in shown
    assert "balanced" in shown
