"""Energy governance: what a request may cost, the tripwire behind it, and what need not be paid for again."""

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
