"""Amounts as people write them, to whole minor units, exactly.

>>> minor_units("12.5", 2)
1250
"""

import re
from typing import Final

from sidechain.models.dry.budget import AMOUNT_MAX

DECIMALS_MAX: Final = 8
_AMOUNT: Final = re.compile(r"(-?)([0-9]{1,20})(?:\.([0-9]{0,20}))?")


def minor_units(text: str, decimals: int) -> int:
    """The amount in minor units: `12.5` with 2 decimals is 1250.

    Raises ValueError with a sentence for what is no amount, is negative, is finer than a minor unit, or is larger than
    2**53 - 1: nothing is rounded. Zeros behind the last decimal say nothing and may stand there.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is no amount: digits, and a point before decimals")
    sign, whole, fraction = found[1], found[2], (found[3] or "").rstrip("0")
    if len(fraction) > decimals:
        raise ValueError(f"{text[:40]} has {len(fraction)} decimals, and the unit has {decimals}")
    amount = int(whole + fraction.ljust(decimals, "0"))
    if sign and amount:
        raise ValueError(f"{text[:40]} is negative, and a cost is not")
    if amount > AMOUNT_MAX:
        raise ValueError(f"{text[:40]} is more than 2**53 - 1 minor units")
    return amount
