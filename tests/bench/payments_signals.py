"""What the aggregator would have said of terminals when each payment was decided, for a whole stream at once.

    sealed(policy, stream.at_ms, stream.terminal, stream.is_bad)    {"terminal_risk": [nan, nan, 1250.0, …], …}

Labels are known seven days after their payment and are counted the moment they are. Values are those of
`models.wet.aggregate` with the dry side's own rule for what is too old; a test compares them with it row by row.
"""

import numpy as np
from numpy.typing import NDArray

from sidechain.models.policy import Policy, Signal
from tests.bench.payments_rows import DELAY_MS

TIME_BITS = 42  # a time in ms takes 41
WHOLE_BP = 10_000


def sealed(
    policy: Policy, at_ms: NDArray[np.int64], subject: NDArray[np.int64], is_bad: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Every signal with `learn`, in basis points; NaN: unknown. `at_ms` rises, `subject` is what they are of."""
    known = _Known(at_ms, subject, is_bad)
    return {one.name: known.said(one) for one in policy.signals if one.learn is not None}


class _Known:
    """Labels by subject and time, and how many of them each payment could know of."""

    def __init__(self, at_ms: NDArray[np.int64], subject: NDArray[np.int64], is_bad: NDArray[np.bool_]) -> None:
        _, number = np.unique(subject, return_inverse=True)
        self._at = at_ms.astype(np.int64)
        self._own = number.astype(np.int64) << TIME_BITS
        place = self._own + self._at + DELAY_MS
        order = np.argsort(place, kind="stable")
        self._places = place[order]
        self._bad = np.concatenate(([0], np.cumsum(is_bad[order])))
        self._until = np.searchsorted(self._places, self._own + self._at, side="right")

    def said(self, signal: Signal) -> NDArray[np.float64]:
        """The last word on each payment's subject, if it may still be used."""
        learn = signal.learn
        assert learn is not None
        last = self._places[np.maximum(self._until - 1, 0)]
        has_any = (self._until > 0) & (last >> TIME_BITS == self._own >> TIME_BITS)
        pane = (last & ((1 << TIME_BITS) - 1)) // learn.pane_ms
        begin = (pane - learn.panes + 1) * learn.pane_ms
        first = np.searchsorted(self._places, self._own + np.maximum(begin, 0), side="left")
        known, bad = self._until - first, self._bad[self._until] - self._bad[first]
        is_used = has_any & (known >= learn.least) & (self._at - pane * learn.pane_ms <= signal.max_age_ms)
        return np.where(is_used, bad * WHOLE_BP // np.maximum(known, 1), np.nan)
