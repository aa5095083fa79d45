"""`sidechain export` on a real broker, and what its files answer when the topics are out of reach."""

import asyncio
import json
import shutil
from collections import Counter
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest

from sidechain.agents.activate import activate, sealed_everywhere
from sidechain.agents.bundle import Bundle
from sidechain.agents.local_kafka import LocalKafka
from tests import dumb_report
from tests.answered import answered
from tests.checkpoints import key_files
from tests.lanes import Process, config_of, made, ordinary, pinned, request, second_version, send, visible, wait_decided

ODD = [
    (0, b"h0.example", request(0, "h0.example")),  # decided before
    (1, b"h1.example", b'{"not": "an event",\n "on": "one line"}'),
    (2, None, request(901, "h2.example")),
    (3, b"h3.example", None),
    (3, b"\xff\xfe", b"\xff\xfe\x00"),
    (0, None, b""),
    (1, b"", b""),
]


@pytest.fixture
def config(broker: LocalKafka, prefix: str, tmp_path: Path):
    return made(config_of(broker.bootstrap, prefix, policy=pinned(tmp_path)))


@pytest.fixture
def options(config, tmp_path: Path) -> list[str]:
    """The options that lead to topics with every kind of entry in them: also a refused and a sealed policy."""
    keys = key_files(tmp_path / "keys", str(config.prefix).removesuffix("."))
    with Process(config, tmp_path / "worker.log", **keys) as worker:
        send(config, ordinary(200) + ODD)
        wait_decided(config, 207, [worker])
        send(config, [(0, None, b"\xff no policy"), (0, b"web", None)], "control")
        activated = asyncio.run(activate(config, second_version(config), "anna"))
        asyncio.run(sealed_everywhere(config, activated, 30, lambda _partition, _seq: None))
        send(config, ordinary(100, 1_000))
        wait_decided(config, 307, [worker])
        assert worker.stop() == 0, worker.said()
    return ["--policy", str(config.policy), "--bootstrap", config.bootstrap, "--prefix", str(config.prefix)]


def test_an_export_is_verified_and_replayed_without_the_topics(config, options, tmp_path: Path) -> None:
    """Byte for byte the topics' entries; rejected inputs, null keys and values, and bytes that are no text included."""
    folder = tmp_path / "audit"
    done = answered("export", str(folder), "--with-events", *options, "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert json.loads((folder / "manifest.json").read_text()) == {n: v for n, v in manifest.items() if n != "folder"}
    kinds: Counter[str] = Counter()
    for partition, records in visible(config, "dry.decisions").items():
        lines = [record.value for record in records]
        assert (folder / f"decisions-{partition}.ndjson").read_bytes() == b"".join(one + b"\n" for one in lines)
        (listed,) = [one for one in manifest["files"] if one["name"] == f"decisions-{partition}.ndjson"]
        last = json.loads(lines[-1])
        kinds.update(json.loads(one)["kind"] for one in lines)
        assert (listed["records"], listed["last"], listed["head"]) == (len(lines), last["seq"], last["hash"])

    verified = answered("verify", "--export", str(folder), "--jobs", "2", "--json")
    replayed = answered("replay", "--export", str(folder), "--json")
    live = answered("replay", *options, "--json")
    assert (verified.returncode, replayed.returncode) == (0, 0), verified.stderr + replayed.stderr
    assert json.loads(replayed.stdout) == json.loads(live.stdout)
    checked = json.loads(verified.stdout)
    for one, again in zip(checked, json.loads(replayed.stdout), strict=True):
        (epoch,) = again.pop("epochs")
        assert one.items() >= again.items()
        assert one["epochs"][0].items() >= epoch.items()
    for one in checked:  # a worker that ends in order signs what it decided last
        (epoch,) = one["epochs"]
        assert epoch["checkpoints"] > 0
        assert (epoch["covered"], epoch["behind"]) == (one["entries"], 0)
    assert sum(one["entries"] for one in json.loads(replayed.stdout)) == kinds.total()
    assert kinds["policy"] == 4
    assert kinds["rejected"] >= 6

    complete = answered("verify", "--export", str(folder), "--against-events")
    assert complete.returncode == 0, complete.stdout + complete.stderr
    assert complete.stdout.count("each has exactly one entry") == 4
    replay_without_control(config, folder)
    prove_both_ways(folder, options)
    report_both_ways(folder, options)
    again = answered("export", str(folder), *options)
    assert again.returncode == 2
    assert "nothing is overwritten" in again.stderr
    spoil_each_file(folder)


def report_both_ways(folder: Path, options: list[str]) -> None:
    """The same bytes from the topics and from the export; a program without our code comes to the same totals."""
    live = answered("report", *options, "--format", "json")
    exported = answered("report", "--export", str(folder), "--format", "json")
    assert (live.returncode, exported.returncode) == (0, 0), live.stderr + exported.stderr
    assert live.stdout == exported.stdout
    file = folder.with_name("report.json")
    file.write_text(live.stdout)
    assert dumb_report.main(folder, file) is False
    held = answered("verify", *options, "--report", str(file))
    assert held.returncode == 0, held.stdout + held.stderr
    if find_spec("pyarrow") is not None:
        places = {"live": options, "files": ["--export", str(folder)]}
        for name, place in places.items():
            done = answered("export", str(folder.with_name(name)), "--parquet", *place)
            assert done.returncode == 0, done.stderr
        for file in sorted(folder.with_name("live").iterdir()):
            assert file.read_bytes() == (folder.with_name("files") / file.name).read_bytes()


def replay_without_control(config, folder: Path) -> None:
    """The text of each policy cited is a file; what then is missing is only what `control` alone says."""
    manifest = json.loads((folder / "manifest.json").read_text())
    later = second_version(config)
    texts = {f"policy-{one.digest[:12]}.yaml": one.text for one in (config.loaded_policy, later)}
    assert {one["name"] for one in manifest["files"] if one["kind"] == "policy"} == {"policy.yaml", *texts}
    assert {name: (folder / name).read_text() for name in texts} == texts
    assert manifest["lacking"] == []
    bundle = Bundle(folder)
    control = bundle.files("control")[0]
    refused = b"".join(one + b"\n" for one in control.read_bytes().splitlines() if later.digest.encode() not in one)
    assert refused != control.read_bytes()
    for names, code in ((texts, 0), ({}, 1)):  # the second as an export of before had them: none
        without = folder.with_name("without")
        shutil.copytree(folder, without)
        (without / "control.ndjson").write_bytes(refused)
        kept = [one for one in manifest["files"] if one["name"] in names or not one["name"].startswith("policy-")]
        for one in kept:
            if one["kind"] == "control":
                one |= {"sha256": sha256(refused).hexdigest()}
        (without / "manifest.json").write_text(json.dumps({**manifest, "files": kept}))
        done = answered("replay", "--export", str(without))
        assert done.returncode == code, done.stdout + done.stderr
        assert ("the control record, or the text of" in done.stdout) == bool(code)
        shutil.rmtree(without)


def prove_both_ways(folder: Path, options: list[str]) -> None:
    """The topics and the export yield the same proof, and both hold against the root."""
    root = str(folder.parent / "keys" / "root.pub")
    asked = [answered("prove", "req-000100", *source) for source in (options, ["--export", str(folder)])]
    assert [one.returncode for one in asked] == [0, 0], asked[0].stderr + asked[1].stderr
    assert asked[0].stdout == asked[1].stdout
    (folder.parent / "proof.json").write_text(asked[0].stdout)
    proved = answered("verify", "--proof", str(folder.parent / "proof.json"), "--root", root, "--json")
    assert json.loads(proved.stdout)[0]["id"] == "req-000100", proved.stderr
    for source in (options, ["--export", str(folder)]):
        signed = answered("verify", "--root", root, *source)
        assert signed.returncode == 0, signed.stdout + signed.stderr
        assert signed.stdout.count("(signed), 0 entries behind it") == 4
    complete = answered("verify", "--against-events", *options)
    assert complete.returncode == 0, complete.stdout + complete.stderr
    kept = answered("checkpoints", *options, "--out", str(folder.parent / "kept"))
    assert kept.returncode == 0, kept.stderr
    assert len(list((folder.parent / "kept").iterdir())) == 4


def spoil_each_file(folder: Path) -> None:
    """Whatever is altered is named: by the chain, by the manifest, or by the replay."""
    for name, change_, command, sentence in [
        ("decisions-1.ndjson", lambda text: text.replace(b'"tier":"', b'"tier":"x', 1), "verify", "were sealed"),
        ("decisions-1.ndjson", lambda text: text[: text[:-1].rindex(b"\n") + 1], "verify", "before what was signed"),
        ("decisions-2.ndjson", lambda _text: b"", "verify", "holds no entry"),
        ("events-0.ndjson", lambda text: text.replace(b"GET", b"PUT", 1), "replay", "not the file that was exported"),
        ("checkpoints-0.ndjson", lambda _text: b"", "verify", "not the file that was exported"),
        ("control.ndjson", lambda _text: b"", "verify", "not the file that was exported"),
        ("policy.yaml", lambda text: text + b"\n", "replay", "not the file that was exported"),
        ("manifest.json", lambda text: text[:50], "verify", "is no export"),
    ]:
        spoiled = folder.with_name("spoiled")
        shutil.copytree(folder, spoiled)
        (spoiled / name).write_bytes(change_((spoiled / name).read_bytes()))
        done = answered(command, "--export", str(spoiled))
        assert done.returncode in (1, 2), name
        assert sentence in done.stdout + done.stderr, name
        assert "Traceback" not in done.stderr
        shutil.rmtree(spoiled)
