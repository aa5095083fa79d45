"""`sidechain repair` that is killed with everything sent and nothing committed.

python tests/kafka/dying_repair.py repair --partition 1 --epoch --by … --why … --yes
"""

import os
import signal
from typing import Any

from aiokafka import AIOKafkaProducer

from sidechain.agents.cli import main


async def die(_producer: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    AIOKafkaProducer.commit_transaction = die
    main()
