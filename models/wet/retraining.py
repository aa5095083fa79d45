"""What drift asks people for: that a champion learns anew, with what moved as its evidence. It changes nothing.

A spell begins with an alarm while none stood, and ends when none stands any more. In one spell people are asked once,
and never while what they were asked before may still be taken up.
"""

from collections.abc import Collection
from typing import Final

from sidechain.models.proposal import Draft, Evidence, Operation
from sidechain.models.wet.drift import Alarm

AUTHOR: Final = "drift"
OPEN_MS: Final = 7 * 86_400_000
SETTING: Final = "trainer.fit"
NOW: Final = "now"
USUAL: Final = "by its schedule"
WHAT: Final = (
    "`sidechain export --pack {pack} DIR`, then `sidechain train --pack {pack} --export DIR --out MODELS`: that learns "
    "from what is known by now, and tries it on the newest outcomes; --beside holds it against the champion. "
    "`sidechain models propose` asks for what was better."
)
MEANWHILE: Final = "The trainer goes on by its schedule meanwhile, and proposes as ever."


class Asking:
    """Whether it is time to ask."""

    def __init__(self) -> None:
        self._was_asked = False  # in this spell
        self._open_until = -1  # by the clock of whoever asked, ms

    def remember(self, expires: int) -> None:
        """Somebody was asked before, perhaps by whoever ran before us."""
        self._open_until = max(self._open_until, expires)

    def is_due(self, standing: int, now_ms: int) -> bool:
        """`standing`: alarms that stand. Where it is, it counts as asked."""
        if not standing:
            self._was_asked = False
            return False
        if self._was_asked:
            return False
        self._was_asked = True  # also by the one that is open still: it is about the same champion
        if now_ms < self._open_until:
            return False
        self._open_until = now_ms + OPEN_MS
        return True


def draft_of(standing: Collection[Alarm], pack: str, now_ms: int) -> Draft:
    """The proposal: its numbers are those of the alarms, and its words say what to run."""
    alarms = sorted(standing, key=lambda one: (one.rule, one.of))
    change = Operation(
        setting=SETTING,
        value=NOW,
        replaces=USUAL,
        words=(WHAT.format(pack=pack), MEANWHILE),
    )
    return Draft(
        pack=pack,
        change=change,
        author=AUTHOR,
        why=f"The champion learned from another world: {alarms[0].summary}.",
        evidence=(
            Evidence(
                kind="snapshot",
                policy=f"{SETTING}={NOW}",
                verdict="REVIEW",
                why=tuple(one.summary for one in alarms),
                figures={
                    "alarms": [
                        {"rule": one.rule, "of": one.of, "rationale": one.why.rationale, **one.evidence}
                        for one in alarms
                    ]
                },
            ),
        ),
        created=now_ms,
        expires=now_ms + OPEN_MS,
    )
