"""The wheel beside other people's packages: `openai-agents` owns `agents`, a user's file is `models`, and all work."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FETCH_S = 180
USER_MODELS = 'WHOSE = "the user\'s"\n'


def call(*command: str | Path, within_s: float = 60, **options: object) -> subprocess.CompletedProcess[str]:
    """A bounded run with its output."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=within_s, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as a release is, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index"]
    done = call(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("sidechain-*.whl")
    return built


def test_the_wheel_holds_the_house_under_its_import_names_and_nothing_else(wheel: Path) -> None:
    """No bare `agents` or `models` to fight over, no tests; packs, samples and the catalogue are there."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sidechain"}
    inside = {name for name in names if name.startswith("sidechain/")}
    assert {name.split("/")[1] for name in inside} == {"agents", "topics", "models"}
    files = {path.relative_to(ROOT) for folder in ("agents", "topics", "models") for path in tracked(folder)}
    assert {str(path) for path in files} <= {name.removeprefix("sidechain/") for name in inside}
    assert "sidechain/models/packs/samples/nasa_19950801.tsv.gz" in inside
    assert "sidechain/topics/catalog.yaml" in inside


def tracked(folder: str) -> Iterator[Path]:
    """The files git has of a folder."""
    done = call("git", "-C", ROOT, "ls-files", "--", folder)
    if done.returncode != 0:
        pytest.skip(f"NO GIT HERE, so what belongs into the wheel is not known: {done.stderr}")
    return (ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with openai-agents, the wheel, and a folder with a user's own models.py; its interpreter."""
    folder = tmp_path_factory.mktemp("installed")
    assert call(sys.executable, "-m", "venv", "--without-pip", folder).returncode == 0
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet"]
    theirs = call(*pip, "--retries", "1", "--timeout", "15", "openai-agents", within_s=FETCH_S)
    if theirs.returncode != 0:
        pytest.skip(f"openai-agents CANNOT BE FETCHED, so nothing is tried beside it: {theirs.stderr.strip()[-200:]}")
    ours = call(*pip, "--no-deps", "--no-index", wheel)
    assert ours.returncode == 0, ours.stderr
    # What we depend on comes from the environment the tests run in; a `.pth` there is not followed from here, so the
    # links of the development installation stay out.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    (folder / "work").mkdir()
    (folder / "work" / "models.py").write_text(USER_MODELS, encoding="utf-8")
    return python


def beside(python: Path, *words: str) -> str:
    """Output of a command in the user's folder, in an environment that knows nothing of this repository."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SIDECHAIN_"))}
    done = call(*words, cwd=python.parents[1] / "work", env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_command_works_from_a_folder_with_a_models_file(installed: Path) -> None:
    """Version, a pack's own cases, and a decision, from the console script."""
    sidechain = str(installed.with_name("sidechain"))
    assert beside(installed, sidechain, "--version") == "sidechain 0.1.0"
    assert "cases passed" in beside(installed, sidechain, "policy", "test", "--pack", "web")
    assert beside(installed, sidechain, "topics", "apply", "--dry-run", "--pack", "web", "--bootstrap", "127.0.0.1:1")


def test_all_three_are_who_they_say(installed: Path) -> None:
    """`agents` is openai's, `models` the user's, and ours are under `sidechain`, from the wheel alone."""
    program = (
        "import agents, models, sidechain, sidechain.agents, sidechain.models; "
        "print(agents.__file__, agents.Agent(name='theirs').name, models.WHOSE, list(sidechain.__path__), "
        "sidechain.models.Decider('web').fold.policy.name, sep='|')"
    )
    agents, agent, whose, house, pack = beside(installed, str(installed), "-c", program).split("|")
    (site,) = installed.parents[1].glob("lib/python*/site-packages")
    assert Path(agents) == site / "agents" / "__init__.py"
    assert (agent, whose, house, pack) == ("theirs", "the user's", str([str(site / "sidechain")]), "web")
