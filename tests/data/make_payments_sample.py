"""Make models/packs/samples/payments_150_customers.csv.gz: the generator's payments in the columns of the Handbook.

    python tests/data/make_payments_sample.py | gzip -9n > models/packs/samples/payments_150_customers.csv.gz

A small world of the usual density: 150 customers and 300 terminals over about three months, so that each of the three
frauds lasts to its end. Nothing in it was measured anywhere.
"""

import sys
from datetime import UTC, datetime
from itertools import chain, islice

from sidechain.models.packs.generators.payments import Payments

SEED = 7
CUSTOMERS = 150
ROWS = 24_000
HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO"


def main() -> None:
    """Print the rows."""
    made = Payments(SEED, CUSTOMERS)
    lines = [HEADER]
    for at_ms, kind, number, customer, terminal, amount in islice(chain.from_iterable(made.slices()), ROWS):
        at = datetime.fromtimestamp(at_ms // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        money = f"{amount // 100}.{amount % 100:02d}"
        lines.append(f"{number},{at},{customer},{terminal},{money},{int(kind > 0)},{kind}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
