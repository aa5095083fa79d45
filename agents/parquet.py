"""Writing chains as Parquet files, one for each partition, for whoever works with tables.

Two passes over the entries: the first finds which columns there are, the second writes so many rows at a time, so
memory does not grow with the entries. What was not there for the first pass is left out by the second.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sidechain.agents.chain_sources import ChainSource
from sidechain.agents.problems import AnswerIsNo, EnvironmentProblem
from sidechain.agents.whole_folder import no_room, whole_folder
from sidechain.models.budget_columns import FIELDS
from sidechain.models.columns import Column, Named, Row, read
from sidechain.models.dry.entry import is_epoch

GROUP_ROWS: Final = 16_384

Told = Callable[[int], None]


class Written(NamedTuple):
    """One file."""

    name: str
    partition: int
    rows: int
    foreign: int  # records of the topic that are no entries, and have no row


def needs_pyarrow() -> None:
    """Raises `EnvironmentProblem` where Parquet cannot be written."""
    if find_spec("pyarrow") is None:
        raise EnvironmentProblem("Parquet files need pyarrow: pip install 'sidechain[analysis]'")


async def write(source: ChainSource, target: Path, told: Told) -> list[Written]:
    """Write every chain into the folder `target`, which must not be there yet.

    Raises `AnswerIsNo` for a log with too many columns.
    """
    needs_pyarrow()
    named, ends = Named(), {}
    for partition in await source.partitions():
        ends[partition] = 0
        async for lines in source.entries(partition):
            try:
                for line in lines:
                    named.see(line)
            except ValueError as problem:
                raise AnswerIsNo(str(problem)) from None
            ends[partition] += len(lines)
            told(len(lines))
    with whole_folder(target) as folder:
        return [await _partition(source, one, end, named.columns(), folder, told) for one, end in ends.items()]


async def _partition(
    source: ChainSource, partition: int, end: int, columns: Sequence[Column], folder: Path, told: Told
) -> Written:
    import pyarrow as pa
    from pyarrow import parquet

    types = _types()
    schema = pa.schema([(one.name, types[one.type]) for one in columns])
    name = f"decisions-{partition}.parquet"
    rows = foreign = 0
    with no_room(folder / name), parquet.ParquetWriter(folder / name, schema, compression="zstd") as file:
        async for group in _groups(_rows(source, partition, end)):
            kept = [one for one in group if one is not None]
            foreign += len(group) - len(kept)
            file.write_table(_table(kept, columns, schema))
            rows += len(kept)
            told(len(group))
    return Written(name, partition, rows, foreign)


def _table(rows: Sequence[Row], columns: Sequence[Column], schema: Any) -> Any:
    import pyarrow as pa

    arrays = [
        pa.array([column.of(row) for row in rows], type=field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


async def _rows(source: ChainSource, partition: int, end: int) -> AsyncIterator[Row | None]:
    """Each of the first `end` records; None for what is no entry."""
    epoch = 0
    async for lines in source.entries(partition):
        for line in lines[:end]:
            entry = read(line)
            if is_epoch(line):
                epoch = msgspec.json.decode(line, type=_Begun).epoch
            yield None if entry is None else Row(partition, epoch, entry)
        end -= len(lines)
        if end <= 0:
            return


async def _groups(rows: AsyncIterator[Row | None]) -> AsyncIterator[list[Row | None]]:
    group: list[Row | None] = []
    async for one in rows:
        group.append(one)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _types() -> dict[str, Any]:
    import pyarrow as pa

    name = pa.dictionary(pa.int32(), pa.string())
    reason = [("sort", pa.string()), ("id", pa.string()), ("value", pa.int64()), ("asks", pa.string())]
    plain = {"int64": pa.int64(), "text": pa.string(), "name": pa.string(), "time": pa.timestamp("ms", tz="UTC")}
    lists = {
        column: pa.list_(pa.struct([(field, plain[kind]) for field, kind in fields]))
        for column, fields in FIELDS.items()
    }
    return {
        **plain,
        **lists,
        "int32": pa.int32(),
        "name": name,
        "names": pa.list_(pa.string()),
        "reasons": pa.list_(pa.struct(reason)),
    }


class _Begun(msgspec.Struct):
    epoch: int
