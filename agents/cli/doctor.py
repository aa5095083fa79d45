"""`sidechain doctor`: what is well, what is not, and what to do."""

import asyncio

from sidechain.agents.cli.connection import Connection
from sidechain.agents.cli.output import Json, emit
from sidechain.agents.doctor import Finding, examine
from sidechain.agents.problems import EnvironmentProblem


def doctor(
    connection: Connection,
    json: Json = False,
) -> None:
    """Check everything a run needs. Exit 3 when something is missing without which it would fail."""
    findings = asyncio.run(examine(connection.settings()))
    emit(findings if json else "\n".join(_line(one) for one in findings), json)
    if failed := sum(one.state == "fail" for one in findings):
        raise EnvironmentProblem(f"{failed} of {len(findings)} checks failed")


def _line(finding: Finding) -> str:
    advice = f"\n{'':21}-> {finding.do}" if finding.do else ""
    return f"{finding.state:5} {finding.check:14} {finding.says}{advice}"
