"""What a list costs an event: ten rows beside a million, in one process, in turns.

    python -m tests.bench.lists --rows 1000000 --events 10000 --rounds 9 --every 100

Three folds decide round by round: under a policy without a list, with ten rows, with a million. Their events are alike
but for one field, which is on the list in one event of `--every`, anywhere on it; 2 is the worst case for memory
caches. Printed: microseconds of processor time an event and the median of the rounds' ratios, seconds and memory to
load the rows, and how long the interpreter was held at most by loading them and by letting them go.
"""

import argparse
import gc
import resource
import statistics
import sys
import threading
import time
from pathlib import Path

import msgspec

from sidechain.agents.bench.place import machine
from sidechain.models.dry import Fold, Line
from sidechain.models.dry.lists import Activation, Table, rows_from
from sidechain.models.list_file import ListText, of_values
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.models.policy import ListSchema
from tests.doors import LOST, doors

PACK = doors("""\
    n: {type: int}
    card: {type: string}
%sfeatures:
  - {name: seen_1h, aggregate: count, window: 1h}
  - {name: sum_1h, aggregate: sum, window: 1h, of: event.n}
rules:
  - {id: often, when: features.seen_1h > 50, then: review, reason: Often.}
  - {id: much, when: features.sum_1h > 100000, then: review, reason: Much.}
%s""")
LISTS = "lists:\n" + LOST
RULE = "  - {id: lost, when: event.card in lists.lost, then: block, reason: Lost.}\n"
WITH = load((PACK % (LISTS, RULE)).encode(), name="with.yaml")
WITHOUT = load((PACK % ("", "")).encode(), name="without.yaml")


def events(count: int, rows: int, first: int, every: int) -> list[Line]:
    """One card of `every` is on a list of so many rows, anywhere on it; all else is the same for any number of rows."""
    found = []
    for number in range(first, first + count):
        badge, card = f"b-{number * 7919 % 20_000:07d}", f"{'x' if number % every else 'a'}-{number * 7919 % rows:07d}"
        value = {"id": f"e-{number}", "badge": badge, "at": 1_700_000_000_000 + number, "n": number % 97, "card": card}
        found.append(Line(number, badge.encode(), msgspec.json.encode(value)))
    return found


def with_rows(text: ListText) -> Fold:
    fold = Fold(WITH, 0)
    chunks = {
        at: Line(at, None, msgspec.json.encode({"kind": "rows", "name": "doors", "list": "lost", "rows": one}))
        for at, one in enumerate(text.chunks)
    }
    asked = {"kind": "list", "name": "doors", "list": "lost", "version": 1, "digest": text.content.digest}
    asked |= {"rows": text.content.rows, "type": "string", "value": None, "by": "x", "at": 0, "chunks": list(chunks)}
    folded = fold.control(Line(len(chunks), None, msgspec.json.encode(asked)), rows=ListRows(chunks).of)
    assert b'"kind":"list"' in folded.entries[0][1]
    return fold


class Pulse:
    """How long this thread was kept from running at most, in milliseconds."""

    def __enter__(self) -> "Pulse":
        self.longest_ms = 0.0
        return self

    def beat(self, work: threading.Thread) -> None:
        """Until the other thread is done."""
        last = time.perf_counter()
        while work.is_alive():
            time.sleep(0.001)
            now = time.perf_counter()
            self.longest_ms, last = max(self.longest_ms, 1_000 * (now - last)), now

    def __exit__(self, *_: object) -> None:
        """Its thread is done by then."""


def loading(text: ListText) -> dict[str, float]:
    """Seconds and memory to make the table in a thread, as a worker does, and how long others were held meanwhile."""
    values = [msgspec.json.encode({"kind": "rows", "name": "d", "list": "l", "rows": one}) for one in text.chunks]
    asked = {"kind": "list", "name": "d", "list": "l", "version": 1, "digest": text.content.digest, "value": None}
    asked |= {"rows": text.content.rows, "type": "string", "by": "", "at": 0, "chunks": list(range(len(values)))}
    activation, made = msgspec.convert(asked, Activation), list[Table | None]()
    gc.collect()
    before = _resident()
    began = time.perf_counter()
    work = threading.Thread(target=lambda: made.append(rows_from(values.__getitem__, len(values), activation)))
    with Pulse() as pulse:
        work.start()
        pulse.beat(work)
    took, after = time.perf_counter() - began, _resident()
    assert made[0] is not None
    began = time.perf_counter()
    made.clear()
    gone_ms = 1_000 * (time.perf_counter() - began)
    return {
        "load_s": round(took, 3),
        "table_mib": round((after - before) / 2**20, 1),
        "others_held_ms": round(pulse.longest_ms, 1),
        "letting_go_ms": round(gone_ms, 1),
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--every", type=int, default=100)
    given = parser.parse_args()
    declared = ListSchema(name="lost")
    long = of_values((f"a-{number:07d}" for number in range(given.rows)), declared)
    short = of_values([f"a-{number:07d}" for number in range(10)], declared)
    found: dict[str, object] = {
        "machine": machine(),
        "rows": given.rows,
        "on the list: one of": given.every,
        **loading(long),
    }
    folds = {"no list": Fold(WITHOUT, 0), "ten": with_rows(short), "many": with_rows(long)}
    gc.freeze()  # as a worker does
    times: dict[str, list[float]] = {name: [] for name in folds}
    for at in range(given.rounds + 1):
        begin = at * given.events
        few, many = (events(given.events, rows, begin, given.every) for rows in (10, given.rows))
        batches = {"no list": few, "ten": few, "many": many}
        for name in list(folds) if at % 2 else list(folds)[::-1]:
            batch = batches[name]
            began = time.process_time()  # what other programs on the processors take is not what a list costs
            folds[name].events(batch)
            if at:  # the first round warms up
                times[name].append((time.process_time() - began) / given.events * 1e6)
            folds[name].forget_changes()
    median = {name: statistics.median(values) for name, values in times.items()}
    found |= {f"us_per_event, {name}": round(value, 2) for name, value in median.items()}
    ratios = [many / ten for many, ten in zip(times["many"], times["ten"], strict=True)]
    found["many rows / ten rows"] = round(statistics.median(ratios), 3)
    ratios = [ten / none for ten, none in zip(times["ten"], times["no list"], strict=True)]
    found["ten rows / no list"] = round(statistics.median(ratios), 3)
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


if __name__ == "__main__":
    main()
