"""The rows of lists out of control records at hand: what a replay asks, and what a chain without a broker asks."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from sidechain.models.dry.lists import Activation, Content, Table, read_activation, rows_from, standing_in
from sidechain.models.dry.records import InputRecord

KEPT: Final = 4  # tables kept although no fold holds them: the next partition most likely asks for the same


class ListRows:
    """Tables by what names them; each is made once as long as it is among the last few."""

    def __init__(self, control: Mapping[int, InputRecord]) -> None:
        self._control = control
        self._kept: deque[tuple[tuple[Content, tuple[int, ...]], Table]] = deque(maxlen=KEPT)

    def of(self, offset: int, activation: Activation) -> Table | None:
        """The rows that the control record at `offset` puts in force; None: not there, or not as it says."""
        if not activation.is_behind_its_rows(offset):
            return None
        named = (activation.kind_of_rows, activation.chunks)
        for name, table in self._kept:
            if name == named:
                return table
        found = rows_from(self._value, offset, activation)
        if found is not None:
            self._kept.append((named, found))
        return found

    def standing(self, state: Mapping[bytes, bytes]) -> dict[Content, Table]:
        """The rows of the lists in force, as a changelog's records say; those that are gone are not among them."""
        found: dict[Content, Table] = {}
        for one in standing_in(state):
            activation = read_activation(self._value(one.offset))
            if activation is not None and activation.kind_of_rows == one.kind_of_rows:
                table = self.of(one.offset, activation)
                found |= {} if table is None else {table.content: table}
        return found

    def _value(self, offset: int) -> bytes | None:
        record = self._control.get(offset)
        return None if record is None else record.value
