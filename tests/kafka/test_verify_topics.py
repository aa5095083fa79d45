"""`verify`, `prove` and `account` on topics that hold something else: one sentence, and the right exit code."""

from pathlib import Path

import pytest

from sidechain.agents.local_kafka import LocalKafka
from tests.answered import answered
from tests.lanes import config_of, made, send
from tests.proofs import STRANGER, certificate
from tests.signed import EVENTS, chain, note, record, root_file

PARTITIONS = 8
EMPTY, TEXT, NULL, OTHER, SHORT, UNSIGNED, GARBAGE, WHOLE = range(PARTITIONS)


@pytest.fixture
def topics(broker: LocalKafka, prefix: str, tmp_path: Path) -> list[str]:
    """The options that lead to one installation whose partitions are each wrong in a way of their own."""
    config = made(config_of(broker.bootstrap, prefix, pack="web", partitions=PARTITIONS))
    root_file(tmp_path)
    chains = {one: chain(one, EVENTS[:12]) for one in range(PARTITIONS)}
    entries = {**chains, EMPTY: [], TEXT: [*chains[TEXT], b"hello"], NULL: [*chains[NULL], None], SHORT: []}
    entries[SHORT], entries[OTHER] = chains[SHORT][:6], [*chains[OTHER][:6], chains[WHOLE][6], *chains[OTHER][7:]]
    send(config, [(one, b"k", line) for one, lines in entries.items() for line in lines], "dry.decisions")
    log = prefix.removesuffix(".")
    signed = {one: [note(chains[one], size, one, log=log) for size in (4, 12)] for one in range(1, PARTITIONS)}
    signed[UNSIGNED][1] = note(chains[UNSIGNED], 12, UNSIGNED, signer=STRANGER, log=log)
    certified = certificate(scopes=[f"sidechain/{log}"])
    records = [(one, b"%d" % one, record(each, certified)) for one, found in signed.items() for each in found]
    send(config, [*records, (GARBAGE, b"k", b"\xff")], "dry.checkpoints")
    return ["--pack", "web", "--bootstrap", config.bootstrap, "--prefix", prefix]


def test_each_wrong_topic_is_a_sentence(topics: list[str], tmp_path: Path) -> None:
    """All in one pass; the whole chain beside them is found whole."""
    done = answered("verify", *topics, "--root", str(tmp_path / "root.pub"))
    assert done.returncode == 1
    lines = dict(enumerate(done.stdout.splitlines()))
    for partition, sentence in [
        (EMPTY, "0 entries, unbroken"),
        (TEXT, "not a sealed entry"),
        (NULL, "not a sealed entry"),
        (OTHER, "does not follow the entry before it"),
        (SHORT, "the chain ends before what was signed at size 12"),
        (UNSIGNED, "signed by worker, and none of the 1 certificates"),
        (GARBAGE, "(dry.checkpoints, offset 2)"),
        (WHOLE, "12 entries, unbroken"),
    ]:
        assert lines[partition].startswith(f"partition {partition}: ")
        assert sentence in lines[partition], lines[partition]
    assert "(offset 12)" in lines[TEXT]
    assert "(offset 6)" in lines[OTHER]
    for command, sentence in [(["prove", "none"], "is no checkpoint"), (["account"], "the books do not balance")]:
        asked = answered(*command, *topics)
        assert (asked.returncode, sentence in asked.stderr, "Traceback" in asked.stderr) == (1, True, False), asked
    books = asked.stdout.splitlines()
    assert [one for one in (TEXT, NULL, OTHER, WHOLE) if "the chain is broken" in books[one]] == [TEXT, NULL, OTHER]
