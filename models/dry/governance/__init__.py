"""Energy governance: what a request may cost, the tripwire behind it, and what need not be paid for again.

    decision     insights.find, then authorise(rules, request, used=book.used, given=book.initial, is_downgraded=…);
                 its cost is what to reserve, `manual` and `refuse` reserve nothing
    settlement   step(rules, tripwire, estimate=reserved, cost=cost), and insights.store
    policy       adopted(rules, tripwire), insights.change(rules)

`used` and `given` are those of this partition's part of an account.
"""

from sidechain.models.dry.governance.insights import INSIGHT_PREFIX, CorruptInsight, Insights, scenario
from sidechain.models.dry.governance.rules import (
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
from sidechain.models.dry.governance.tripwire import CorruptTripwire, Tripwire, adopted, dump, load, recovered, step

__all__ = [
    "INSIGHT_PREFIX",
    "Authorisation",
    "Charge",
    "CorruptInsight",
    "CorruptTripwire",
    "Governance",
    "Insights",
    "Request",
    "Tripwire",
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
