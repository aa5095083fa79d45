"""Every kind of fault once, under load: nothing lost, nothing twice, no fork, replay identical, after each of them.

`make chaos` is the long form. One installation lives through all of these tests, one after the other; a failure prints
the seed, and `python -m tests.chaos.run --seed N --rate 400 --each 1 --minutes 3` inflicts the same.
"""

import random
from collections.abc import Iterator

import pytest

from sidechain.agents.problems import EnvironmentProblem
from tests.chaos.faults import FAULTS, IMPOSSIBLE, impossible
from tests.chaos.scene import PREFIX, Scene, Terms

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two workers, six partitions in three shards, 400 events a second."""
    try:
        opened = Scene(tmp_path_factory.mktemp("chaos"), Terms(seed=random.randrange(1 << 30)))
        with opened:
            opened.settle()
            yield opened
    except EnvironmentProblem as problem:
        pytest.skip(f"NO BROKER, so no fault is tested: {problem}")


@pytest.mark.parametrize("kind", FAULTS)
def test_nothing_is_lost_repeated_or_forked_by(kind: str, scene: Scene) -> None:
    """The harm is done, and everything visible is decided exactly once and found right."""
    if kind in IMPOSSIBLE:
        pytest.skip(f"NOT TESTED HERE, {kind}: {IMPOSSIBLE[kind]}")
    print("seed", scene.terms.seed)
    try:
        print(FAULTS[kind](scene))
        scene.settle()
    except AssertionError:
        scene.recover()  # so that the next kind shows what it alone does
        raise


def test_nothing_is_left_out_on_linux_and_a_kind_of_fault_elsewhere_with_its_reason() -> None:
    assert impossible("linux") == {}
    assert impossible("darwin").keys() == {"disk full"} <= FAULTS.keys()


def test_the_whole_run_is_exact(scene: Scene, sidechain: object) -> None:
    """When the load ends every event and outcome has its entry, nothing is open, and the product's own checks agree."""
    scene.finish()
    seen = scene.observer.last.partitions.values()
    assert scene.decided == sum(one.visible for one in seen)
    outcomes = sum(one.kinds.get(kind, 0) for one in seen for kind in ("settlement", "refused-outcome"))
    assert outcomes == sum(one.outcomes for one in seen) >= scene.sender.last.outcomes > 0
    named = ["--bootstrap", scene.broker.bootstrap, "--prefix", PREFIX, "--policy", str(scene.config.policy)]
    for words in (["verify", "--root", str(scene.keys["checkpoint_root_file"])], ["account"]):
        done = sidechain(*words, *named)  # type: ignore[operator]
        assert done.returncode == 0, done.stdout + done.stderr
