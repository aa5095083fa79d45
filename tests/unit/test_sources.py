"""Raw data becomes events, and a row that does not is named while its neighbours go on."""

import gzip
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from sidechain.models import samples
from sidechain.models.dry.parse import Rejection, parser
from sidechain.models.pack_file import load, load_pack
from sidechain.models.pack_reader import PackError
from sidechain.models.server_log import milliseconds
from sidechain.models.sources import BadRow, Converted, SourceError, convert, rows, time_ms
from tests.doors import doors

SHARED = Path(__file__).parents[3] / "shared" / "data"
SAMPLES = files("sidechain.models") / "packs" / "samples"
WEB = load_pack("web")
NASA_HEADER = b"host\tlogname\ttime\tmethod\turl\tresponse\tbytes\treferer\tuseragent\n"


def web(*lines: bytes, source: str | None = None) -> list[bytes | BadRow]:
    """What the web pack makes of `lines`."""
    return list(convert(WEB, source, lines))


def test_the_nasa_day_is_30969_events() -> None:
    """Every request, in order; the first as worked out by hand from the first line of the file."""
    events = web(*gzip.decompress((SAMPLES / "nasa_19950801.tsv.gz").read_bytes()).splitlines(keepends=True))
    assert len(events) == 30_969
    assert events[0] == (
        b'{"id":"web-000001","host":"pppa006.compuserve.com","at":807256800000,"method":"GET",'
        b'"path":"/images/launch-logo.gif","status":200,"bytes":1713}'
    )
    assert not any(isinstance(one, BadRow) for one in events)


@pytest.mark.parametrize("pack", sorted(samples.RAW))
def test_what_convert_makes_the_kernel_accepts(pack: str) -> None:
    """No event of a sample is rejected by the schema of its own pack."""
    policy = load_pack(pack)
    parse = parser(policy.event)
    lines = samples.raw_lines(pack)[:5_000]
    assert [one for one in convert(policy, None, lines) if isinstance(parse(one), Rejection)] == []


def test_a_connection_keeps_its_label_beside_the_event_not_inside() -> None:
    """The label is for measuring: an event that carried it would give the answer away."""
    line = (b"0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0.00,0.00,0.00,0.00,1.00,0.00,0.00,9,9,"
            b"1.00,0.00,0.11,0.00,0.00,0.00,0.00,0.00,%s\n")  # fmt: skip
    first, second = rows(load_pack("network"), None, [line % b"normal.", line % b"neptune."])
    assert isinstance(first, Converted)
    assert isinstance(second, Converted)
    assert (first.label, first.is_normal) == ("normal.", True)
    assert (second.label, second.is_normal) == ("neptune.", False)
    assert b"normal" not in first.event
    event = json.loads(second.event)
    assert len(event) == 43  # 41 columns, an id and a time
    assert (event["id"], event["at"], event["dst_host_same_src_port_rate"]) == ("network-000002", 915148800100, 0.11)


def test_the_whole_kdd_file_converts() -> None:
    """494,021 rows, none lost; needs the full file beside the checkout."""
    path = SHARED / "kddcup.data_10_percent.gz"
    if not path.exists():
        pytest.skip(f"needs the full KDD Cup 99 file at {path}; the sample is tested above")
    with gzip.open(path) as lines:
        labels = [(type(one), getattr(one, "is_normal", None)) for one in rows(load_pack("network"), "kdd", lines)]
    assert len(labels) == 494_021
    assert labels.count((Converted, True)) == 97_278
    assert labels.count((Converted, False)) == 396_743


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            b'h.example - - [01/Aug/1995:00:00:00 -0400] "GET /a.html HTTP/1.0" 200 7280\n',
            {"host": "h.example", "at": 807249600000, "method": "GET", "path": "/a.html", "status": 200, "bytes": 7280},
        ),
        (  # no size, no protocol, another zone, CRLF
            b'::1 - anna [29/Feb/2024:12:30:00 +0530] "HEAD /" 304 -\r\n',
            {"host": "::1", "at": 1709190000000, "method": "HEAD", "path": "/", "status": 304},
        ),
        (  # the combined format; quotes are kept as the server escaped them
            b'h - - [01/Aug/1995:00:00:00 +0000] "POST /f?a=b HTTP/2" 500 1 "http://r/" "say \\"hi\\""\n',
            {
                "host": "h",
                "at": 807235200000,
                "method": "POST",
                "path": "/f?a=b",
                "status": 500,
                "bytes": 1,
                "referer": "http://r/",
                "agent": 'say \\"hi\\"',
            },
        ),
        (
            b'h - - [01/Aug/1995:00:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n',
            {"host": "h", "at": 807235200000, "method": "GET", "path": "/", "status": 200, "bytes": 5},
        ),
    ],
    ids=["common", "bare", "combined", "dashes"],
)
def test_log_lines_become_events(line: bytes, event: dict) -> None:
    """Common or combined is found out from the line itself; `-` is unknown and stays away."""
    (found,) = web(line)
    assert isinstance(found, bytes)
    assert json.loads(found) == {"id": "web-000001", **event}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'h - - [01/Aug/1995:00:00:00] "GET / HTTP/1.0" 200 1', "[01/Aug/1995:00:00:00] is no time such as"),
        (b'h - - [31/Feb/1995:00:00:00 +0000] "GET / HTTP/1.0" 200 1', "[31/Feb/1995:00:00:00 +0000] is no time"),
        (b'h - - [01/Agu/1995:00:00:00 +0000] "GET / HTTP/1.0" 200 1', "[01/Agu/1995:00:00:00 +0000] is no time"),
        (b'h - - [01/Aug/1995:00:00:00 +9900] "GET / HTTP/1.0" 200 1', "[01/Aug/1995:00:00:00 +9900] is no time"),
        (b'h - - [01/Aug/1995:00:00:00 +0000] "GET" 200 1', '"GET" is no request such as'),
        (b'h - - [01/Aug/1995:00:00:00 +0000] "\x16\x03\x01" 400 1', "is no request such as"),
        (b'h - - [01/Aug/1995:00:00:00 +0000] "GET / HTTP/1.0" 20 1', "this is no line of the Common Log Format"),
        (b'h - - [01/Aug/1995:00:00:00 +0000] "GET / HTTP/1.0" 200', "this is no line of the Common Log Format"),
        (b'h - - [01/Aug/1995:00:00:00 +0000] "GET /\xff HTTP/1.0" 200 1', "bytes that are not UTF-8"),
        (b"h " * 40_000, "longer than 65536 characters"),
    ],
)
def test_a_bad_log_line_is_named_and_the_next_goes_on(line: bytes, problem: str) -> None:
    """Rows keep their numbers: the event after a bad row is the second."""
    good = b'h - - [01/Aug/1995:00:00:00 +0000] "GET / HTTP/1.0" 200 1\n'
    bad, event = web(line + b"\n", good, source="common")
    assert isinstance(bad, BadRow)
    assert bad.line == 1
    assert problem in bad.problem
    assert json.loads(event)["id"] == "web-000002"


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("01/Jan/1970:00:00:00 +0000", 0),
        ("31/Dec/1969:23:59:59 +0000", -1_000),
        ("01/Aug/1995:00:00:01 -0400", 807_249_601_000),
        ("31/Dec/1998:23:59:60 +0000", None),  # leap seconds are not in the calendar of computers
        ("1/Aug/1995:00:00:01 -0400", None),
        ("01/Aug/1995:24:00:00 -0400", None),
    ],
)
def test_log_times_carry_their_zone(text: str, at_ms: int | None) -> None:
    """Milliseconds since 1970, worked out with `date -d`."""
    assert milliseconds(text) == at_ms


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"h\t-\t807256800\tGET\t/\t200\n", "line 2: 6 columns, source nasa has 9"),
        (b"h\t-\tsoon\tGET\t/\t200\t1\t\t\n", "line 2: field at (int(time) * 1000) has no value: time is 'soon'"),
        (b"\t-\t807256800\tGET\t/\t200\t1\t\t\n", "line 2: field host (host) has no value: host is unknown"),
        (b"h\xff\t-\t807256800\tGET\t/\t200\t1\t\t\n", "line 2: bytes that are not UTF-8"),
    ],
)
def test_a_bad_row_says_which_field_and_why(row: bytes, problem: str) -> None:
    """The reader gets the line, the field, its expression and what stood there."""
    (found,) = web(NASA_HEADER, row, source="nasa")
    assert str(found) == problem


def test_optional_fields_that_are_unknown_stay_away() -> None:
    """A size the log does not know is absent, not zero."""
    (event,) = web(NASA_HEADER, b"h\t-\t807256800\tGET\t/\t304\t-\t\tMozilla\n")
    assert json.loads(event) == {
        "id": "web-000001", "host": "h", "at": 807256800000, "method": "GET", "path": "/", "status": 304,
        "agent": "Mozilla",
    }  # fmt: skip


def test_a_wrong_header_is_named() -> None:
    """Columns in another order would be decided as something they are not."""
    header = NASA_HEADER.replace(b"host\tlogname", b"logname\thost")
    found = web(header, b"h\t-\t807256800\tGET\t/\t304\t-\t\t\n", source="nasa")
    assert str(found[0]).startswith("line 1: the header is 'logname,host,time,")
    assert len(found) == 2


def test_data_of_no_source_is_refused_with_what_each_source_says() -> None:
    """Nothing is guessed: the user sees why each way of reading failed."""
    with pytest.raises(
        SourceError, match=r"no source of pack web reads this .*nasa: line 1: .*combined: line 1: .*common:"
    ):
        web(b'{"id":1}\n')
    with pytest.raises(SourceError, match="there is no row"):
        web()
    with pytest.raises(SourceError, match=r"no source comon, it has nasa, combined, common; did you mean common\?"):
        web(source="comon")


GIVEN = doors("""\
    load: {type: double, optional: true}
    tags: {type: list<string>, optional: true}
rules: [{id: never, when: "false", then: note, reason: none}]
sources:
  json:
    format: ndjson
    columns: [id, who, when, load]
    fields: {id: id, badge: who, at: int(when), load: double(load)}
  csv:
    format: csv
    columns: [who, when, load]
    fields: {badge: who, at: int(when) + row, load: double(load), tags: '[who, "door"]'}
""")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"id":"e1","who":"7","when":5,"load":0.5}', b'{"id":"e1","badge":"7","at":5,"load":0.5}'),
        (b'{"id":"e1","who":7,"when":"5","load":null,"more":[1]}', b'{"id":"e1","badge":"7","at":5}'),
        (b'{"who":"7","when":5}', "line 1: field id (id) has no value: id is unknown"),
        (b'{"id":"e1","who":"7","when":5,', "line 1: this is no JSON object"),
        (b"[1]", "line 1: this is no JSON object"),
        (b'{"a":' * 100_000, "line 1: this is no JSON object"),
        (b'7,5,0.25', b'{"id":"doors-000001","badge":"7","at":5,"load":0.25,"tags":["7","door"]}'),
        (b'"7, left",5,', b'{"id":"doors-000001","badge":"7, left","at":5,"tags":["7, left","door"]}'),
        (b"7,5,nan", "line 1: field load is not a finite number"),
        (b"null,5,1e400", "line 1: field load is not a finite number"),
        (b"null,5,1", b'{"id":"doors-000001","badge":"null","at":5,"load":1.0,"tags":["null","door"]}'),
        (b'"7"x,5,1', "line 1: this is no csv: ',' expected after '\"'"),
        (b"7,9223372036854775808,1", "line 1: field at (int(when) + row) has no value: when is '9223372036854775808'"),
    ],
)  # fmt: skip
def test_csv_and_ndjson_rows(line: bytes, found: bytes | str) -> None:
    """Columns are text whatever the format; numbers that JSON cannot write are refused here."""
    policy = load(GIVEN.encode(), name="doors.yaml")
    (one,) = convert(policy, "json" if line[:1] in (b"{", b"[") else "csv", [line + b"\n"])
    assert (one if isinstance(one, bytes) else str(one)) == found


def test_a_quoted_line_end_belongs_to_its_row() -> None:
    """A csv row may span lines; the next row is still the second, and its line is where it ends."""
    policy = load(GIVEN.encode(), name="doors.yaml")
    first, second = convert(policy, "csv", [b'"a\n', b'b",5,1\n', b"c,x,1\n"])
    assert json.loads(first)["badge"] == "a\nb"
    assert str(second) == "line 3: field at (int(when) + row) has no value: when is 'x'"


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01 00:00:00", 0),
        ("2018-04-01 00:00:31", 1_522_540_831_000),
        ("2018-04-01T00:00:31Z", 1_522_540_831_000),
        ("2018-04-01T02:00:31.250+02:00", 1_522_540_831_250),
        ("2018-04-01T00:00:31.250999", 1_522_540_831_250),
        ("1969-12-31 23:59:59.999", -1),
        ("2018-02-29 00:00:00", None),
        ("2018-04-01 24:00:00", None),
        ("2018-04-01", None),
        ("20180401T000031", None),
        ("2018-04-01 00:00:31 ", None),
        ("\uff12018-04-01 00:00:31", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_and_a_time_of_day_are_milliseconds(text: str | None, at_ms: int | None) -> None:
    """In UTC where no zone is written; worked out with `date -u -d`."""
    assert time_ms(text) == at_ms


TIMES = doors("""\
rules: [{id: never, when: "false", then: note, reason: none}]
sources:
  csv:
    {format: csv, header: true, columns: [who, opened_at], times: [opened_at],
      fields: {badge: who, at: opened_at + 1}}
""")


def test_columns_of_times_and_a_header_in_capitals() -> None:
    """The expression reads milliseconds; a row whose time is none is named with what stood there."""
    lines = [b"WHO,OPENED_AT\n", b"7,2018-04-01 00:00:31\n", b"7,noon\n"]
    event, bad = convert(load(TIMES.encode(), name="doors.yaml"), None, lines)
    assert event == b'{"id":"doors-000001","badge":"7","at":1522540831001}'
    assert str(bad) == "line 3: field at (opened_at + 1) has no value: opened_at is 'noon'"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("times: [opened_at]", "times: [opend_at]", '"times" names no column: "opend_at"; did you mean "opened_at"?'),
        ("times: [opened_at],", "", "needs one type on both sides: string and int"),
        ("format: csv, header: true, columns: [who, opened_at]", "format: common-log", 'remove "times"'),
    ],
)
def test_times_that_cannot_be_are_refused(old: str, new: str, problem: str) -> None:
    """When the pack is loaded, not when the data comes."""
    with pytest.raises(PackError, match=re.escape(problem)):
        load(TIMES.replace(old, new).encode(), name="doors.yaml")


def test_every_cut_of_a_log_line_is_an_event_or_a_problem() -> None:
    """No prefix of a line ends in an exception."""
    line = b'h.example - anna [01/Aug/1995:00:00:00 -0400] "GET /a HTTP/1.0" 200 7280 "http://r/" "M\\"x"'
    for source in ("common", "combined", "nasa"):
        for end in range(1, len(line) + 1):
            assert len(web(line[:end], source=source)) == 1
