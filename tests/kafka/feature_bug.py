"""The command line with a mistake planted in a feature function: `gap` raises at one event time.

python tests/kafka/feature_bug.py 1700000777000 worker dry --bootstrap …
"""

import sys
from typing import Any

from sidechain.agents.cli import main
from sidechain.models.dry import windows

plant_at_ms = int(sys.argv.pop(1))
sound = windows._gap


def _gap() -> Any:
    new, update, dump, load = sound()

    def planted(slot: Any, at_ms: int, takes_part: bool | None, value: Any) -> Any:
        if at_ms == plant_at_ms:
            raise ZeroDivisionError("planted in a feature")
        return update(slot, at_ms, takes_part, value)

    return new, planted, dump, load


if __name__ == "__main__":
    windows._gap = _gap
    main()
