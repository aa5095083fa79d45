"""The run of all payments in small, on the sample that comes with the pack: everything that the long one must show.

`python -m tests.bench.payments_run FILE` is the long one.
"""

import asyncio
import os
from pathlib import Path

import pytest

from sidechain.agents.bench.place import Place
from sidechain.agents.local_kafka import LocalKafka
from sidechain.models import samples
from sidechain.models.pack_file import load_pack
from tests.bench.payments_page import page
from tests.bench.payments_rows import payments
from tests.bench.payments_run import run

FIRST, PAYMENTS = 9_000, 3_000  # of 150 customers: ten days of May, when there is some fraud


@pytest.mark.kafka
def test_payments_with_late_outcomes_lists_and_two_changes_are_proved_from_end_to_end(
    broker: LocalKafka, prefix: str, tmp_path: Path
) -> None:
    """Exact books, replay byte for byte, reports recomputed, flips foretold; whatever does not hold is named."""
    secret = tmp_path / "pseudonym.key"
    secret.write_text("a secret of sixteen bytes or more")
    own = {"BOOTSTRAP": broker.bootstrap, "PACK": "payments", "PREFIX": prefix, "PSEUDONYM_KEY_FILE": str(secret)}
    (tmp_path / "sidechain.yaml").touch()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIDECHAIN_")}
    here = Place(tmp_path, {**inherited, **{f"SIDECHAIN_{name}": value for name, value in own.items()}}, 0)
    header, *rows = samples.raw_lines("payments")
    found = list(payments(load_pack("payments"), [header, *rows[FIRST : FIRST + PAYMENTS]]))
    told = asyncio.run(run(here, found, print, lead=400, step=100))
    assert told["well"], page(told)
    assert len(told["checks"]) == 13 + (load_pack("payments").budgeting is not None)
    sent = told["sent"]
    assert (sent["payments"], sent["labels"], sent["twice"], sent["astray"]) == (PAYMENTS, PAYMENTS, 3, 3)
    assert sent["charges"] == PAYMENTS // 10
    assert told["entries"] == {
        "decision": PAYMENTS,
        "list": 4 * 4,
        "policy": 4 * 2,
        "refused-outcome": 6,
        "settlement": PAYMENTS + PAYMENTS // 10,
    }
    assert len(told["by_policy"]) == 3
    assert sum(one["payments"] for one in told["by_policy"].values()) == PAYMENTS
    assert told["ranked"]["all"]["bad"] == sum(one.is_bad for one in found) > 20
    assert 1 > told["ranked"]["all"]["average_precision"] > 0.1
    assert 168 - 24 <= told["hours_to_settlement"]["least"] <= told["hours_to_settlement"]["median"] < 24 * 12
    spent = sum(one.amount_minor - (one.amount_minor // 10 if at % 2 else 0) for at, one in enumerate(found[::10]))
    assert told["cost_minor"] == spent
    assert "NOT WELL" not in page(told)
