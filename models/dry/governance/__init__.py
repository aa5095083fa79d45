"""Energy governance: what a request may cost, the tripwire behind it, and what need not be paid for again.

    decision     governor.answer(asked, used=book.used, given=book.initial); its cost is what to reserve; then, where
                 that is held, governor.awaits
    settlement   governor.settled(entry, decision, estimate=reserved, cost=cost)
    policy       governor.change(rules, recovered)

`used` and `given` are those of this partition's part of an account. Rules, tripwire and insights stand in modules of
their own, as functions of their arguments; `Governor` is what a partition remembers of them.
"""

from sidechain.models.dry.governance.governor import GOVERNED_PREFIXES, Asked, Governed, Governor, Watched
from sidechain.models.dry.governance.insights import INSIGHT_PREFIX, CorruptInsight, Insights, scenario
from sidechain.models.dry.governance.rules import (
    Answer,
    Authorisation,
    Charge,
    Governance,
    Request,
    authorise,
    charge,
    is_enough,
    level_of,
    wait_before,
)
from sidechain.models.dry.governance.tripwire import (
    CorruptTripwire,
    Event,
    Tripwire,
    adopted,
    dump,
    load,
    recovered,
    step,
)

__all__ = [
    "GOVERNED_PREFIXES",
    "INSIGHT_PREFIX",
    "Answer",
    "Asked",
    "Authorisation",
    "Charge",
    "CorruptInsight",
    "CorruptTripwire",
    "Event",
    "Governance",
    "Governed",
    "Governor",
    "Insights",
    "Request",
    "Tripwire",
    "Watched",
    "adopted",
    "authorise",
    "charge",
    "dump",
    "is_enough",
    "level_of",
    "load",
    "recovered",
    "scenario",
    "step",
    "wait_before",
]
