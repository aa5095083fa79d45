"""The records of `control` at hand: all of them found by their offset, and the rows of lists not held in memory."""

import weakref
from collections.abc import Iterable, Iterator, Mapping
from tempfile import TemporaryFile
from typing import IO

from sidechain.models.dry.lists import is_rows
from sidechain.models.dry.records import InputRecord, Line


class ControlLog(Mapping[int, InputRecord]):
    """By offset. Who looks through them passes over the rows of lists: years of them may stand there.

    Rows are kept in a temporary file, which is gone with this object.
    """

    def __init__(self, records: Iterable[InputRecord] = ()) -> None:
        self._records: dict[int, InputRecord] = {}
        self._rows: dict[int, tuple[bytes | None, int, int]] = {}  # offset -> key, and where the value stands
        self._file: IO[bytes] | None = None
        self._end = 0
        self.extend(records)

    def extend(self, records: Iterable[InputRecord]) -> None:
        """More records."""
        for one in records:
            if one.value is not None and is_rows(one.value):
                file = self._opened()
                file.seek(self._end)
                file.write(one.value)
                self._rows[one.offset] = (one.key, self._end, len(one.value))
                self._end += len(one.value)
            else:
                self._records[one.offset] = one

    def __getitem__(self, offset: int) -> InputRecord:
        if offset not in self._rows:
            return self._records[offset]
        key, start, length = self._rows[offset]
        file = self._opened()
        file.seek(start)
        return Line(offset, key, file.read(length))

    def __iter__(self) -> Iterator[int]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 - it is open as long as this object lives
            weakref.finalize(self, self._file.close)
        return self._file
