"""What does not belong into a chain stands in its export too: the files are judged as the topics are."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sidechain.agents.against_events import all_books
from sidechain.agents.bundle import Bundle
from sidechain.agents.chain_sources import FolderSource, TopicSource
from sidechain.agents.export import export
from sidechain.agents.foreign import MARK, as_line, as_record
from sidechain.agents.proof import Proof, Topics
from sidechain.agents.verify_files import verify_files
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.entry import stated
from tests.in_memory import MemoryTopics
from tests.signed import EVENTS, POLICY

FOREIGN = {
    "no value": None,
    "empty": b"",
    "text": b"not json",
    "lines": b'{"a":1,\n"b":2}\n',
    "a carriage return": b"text\r",
    "no text": b"\xff\x00\xfe",
    "a mark": MARK,
    "a marked line": b'{"foreign":"x"}',
    "a mark with a seal": MARK + b'1,"hash":"' + b"0" * 64 + b'"}',
    "what states a place": b'{"seq":7,"hash":1}',
    "a seal over two lines": b'{\n,"hash":"' + b"0" * 64 + b'"}',
}

KEY = POLICY.event.role("key").name
INPUTS = [Line(offset, msgspec.json.decode(one)[KEY].encode(), one) for offset, one in enumerate(EVENTS[:20])]


@given(some.binary() | some.sampled_from([MARK + b'"x"}', MARK + b"null}", b"\r", b"\n"]), some.booleans())
def test_every_value_is_one_line_and_comes_back(value: bytes, in_form: bool) -> None:
    line = as_line(value, in_form=in_form)
    assert b"\n" not in line
    assert line.rstrip(b"\r") == line != b""
    assert as_record(line) == value


def test_a_value_that_is_not_there_is_read_as_the_topics_reader_reads_it() -> None:
    assert as_line(None, in_form=False) == b'{"foreign":null}'
    assert as_record(b'{"foreign":null}') == b""


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b"not json", b'{"foreign":"not json"}'),
        (b"a\nb", rb'{"foreign":"a\nb"}'),
        (b"\xff\x00", b'{"foreign":{"base64":"/wA="}}'),
        (b"\x00" * 9, b'{"foreign":{"base64":"AAAAAAAAAAAA"}}'),  # shorter than nine escapes
    ],
)
def test_a_foreign_record_is_text_where_that_is_no_longer(value: bytes, line: bytes) -> None:
    assert as_line(value, in_form=False) == line


@pytest.mark.parametrize(
    "line", [MARK, MARK + b"1}", MARK + b'{"base64":"*"}}', MARK + b'"x","seq":1}', MARK + b"[" * 9]
)
def test_what_no_export_writes_stands_for_itself(line: bytes) -> None:
    assert as_record(line) == line


def repaired(foreign: bytes | None, *, at: int = 5) -> list[bytes | None]:
    """A chain somebody wrote this into, and the epoch a person began behind it."""
    lines: list[bytes | None] = [line for _, line in Fold(POLICY, 0).events(INPUTS[:at]).entries]
    broken = stated(foreign or b"", at)
    fold, opening = Fold.begin_epoch(POLICY, 0, 1, broken, {"events": at}, at_ms=1, by="anna", why="a drill")
    return [*lines, foreign, opening, *(line for _, line in fold.events(INPUTS[at:]).entries)]


def topics_of(*chains: Sequence[bytes | None]) -> MemoryTopics:
    events = dict.fromkeys(range(len(chains)), INPUTS)
    entries = {
        one: [Line(offset, b"k", value) for offset, value in enumerate(chain)] for one, chain in enumerate(chains)
    }
    return MemoryTopics({"dry.decisions": entries, "events": events, "control": {0: []}})


def exported(topics: Topics, folder: Path) -> Bundle:
    asyncio.run(export(topics, POLICY, folder, lambda _count: None, with_events=True))
    return Bundle(folder)


def judged(proofs: Sequence[Proof]) -> list[object]:
    """All that was found; where it stands is a line of a file here and an offset there."""
    found = [
        (one.partition, one.entries, one.head, one.fault, [{**vars(epoch), "where": ""} for epoch in one.epochs])
        for one in proofs
    ]
    assert found
    return found


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_a_repaired_chain_is_judged_in_its_export_as_on_its_topics(tmp_path: Path, foreign: bytes | None) -> None:
    """Epoch 0 is broken at the foreign record, epoch 1 is whole; the books say what was passed over."""
    topics = topics_of(repaired(foreign))
    bundle = exported(topics, tmp_path / "audit")
    live = asyncio.run(topics.verify())
    assert [one.fault is None for one in live[0].epochs] == [False, True]
    assert judged(bundle.verify(1, lambda _count: None)) == judged(live)
    assert judged(verify_files([tmp_path / "audit" / "decisions-0.ndjson"], 1, lambda _count: None)) == judged(live)
    books = [
        asyncio.run(all_books(source, lambda _count: None))
        for source in (TopicSource(topics), FolderSource(bundle.folder))
    ]
    assert [vars(one) for one in books[0][0]] == [vars(one) for one in books[1][0]]
    assert books[0][0].events.passed_over == 1
    assert bundle.manifest.v == 3
    (part,) = [one for one in bundle.manifest.files if one.kind == "decisions"]
    assert (part.records, part.foreign) == (22, 1)


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_a_repaired_chain_is_replayed_from_its_export_as_from_its_topics(tmp_path: Path, foreign: bytes | None) -> None:
    topics = topics_of(repaired(foreign))
    live = asyncio.run(topics.replay(POLICY))
    assert live[0].epochs[1].entries == 16
    assert judged(exported(topics, tmp_path / "audit").replay(None, lambda _count: None)) == judged(live)


def test_a_chain_of_nothing_but_a_foreign_record_is_of_its_partition(tmp_path: Path) -> None:
    whole = [line for line in repaired(None)[:5] if line]
    topics = topics_of(whole, [b"junk"])
    bundle = exported(topics, tmp_path / "audit")
    found = bundle.verify(1, lambda _count: None)
    assert [(one.partition, one.fault is None) for one in found] == [(0, True), (1, False)]
    assert judged(found) == judged(asyncio.run(topics.verify()))


def test_an_export_without_foreign_records_is_of_the_version_before(tmp_path: Path) -> None:
    """Releases that know none read it."""
    bundle = exported(topics_of([line for line in repaired(None)[:5] if line]), tmp_path / "audit")
    assert bundle.manifest.v == 2
    assert "foreign" not in (tmp_path / "audit" / "manifest.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "spoil", [lambda lines: lines[:-1], lambda lines: lines[1:], lambda lines: [b'{"foreign":"other"}', *lines]]
)
def test_the_end_of_a_broken_chain_cannot_be_cut_off_unseen(tmp_path: Path, spoil) -> None:
    """The count and head of the manifest say nothing about it; the file's digest does."""
    bundle = exported(topics_of(repaired(b"not json")), tmp_path / "audit")
    file = tmp_path / "audit" / "decisions-0.ndjson"
    file.write_bytes(b"".join(line + b"\n" for line in spoil(file.read_bytes().splitlines())))
    for found in (bundle.verify(1, lambda _count: None), bundle.replay(None, lambda _count: None)):
        fault = found[0].epochs[-1].fault
        assert fault is not None
        assert fault.problem == "the file is not the one that was exported"


def test_the_manifest_counts_what_is_in_its_form(tmp_path: Path) -> None:
    bundle = exported(topics_of(repaired(b"not json")), tmp_path / "audit")
    listed = msgspec.json.decode((tmp_path / "audit" / "manifest.json").read_bytes())["files"]
    assert [one.get("foreign", 0) for one in listed if one["kind"] == "decisions"] == [1]
    assert all("foreign" not in one for one in listed if one["kind"] != "decisions")
    assert bundle.verify(1, lambda _count: None)[0].epochs[1].fault is None
