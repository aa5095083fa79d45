"""`bench dry`: sealed decisions a second beside a bare copy of the same records, interleaved in one run.

Each round runs the decider without and with checkpoints and the copy at three poll sizes, on fresh topics and on the
same preloaded events; which of the two comes first changes from round to round. The rate reported is the one without.
The rate is taken from outside, from what a read_committed reader could see, between the first fifth (warm-up) and the
end. The copy's figure is the best of the three sizes' medians: the comparison favours the copy.
"""

from collections.abc import Callable
from statistics import median
from typing import Any, Final

from sidechain.agents.admin import ensure
from sidechain.agents.bench.load import numbered
from sidechain.agents.bench.place import Place, growth, machine, place, rate
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.own_keys import own_keys
from sidechain.agents.produce import keyed, produce
from sidechain.models.pack_file import load_pack

POLL_SIZES: Final = (1_000, 4_000, 16_000)
WARM_SHARE: Final = 0.2
WITHIN_S: Final = 180.0
EVENTS_TOPIC: Final = "bench.events"


async def throughput(pack: str, events: int, rounds: int, told: Callable[[str], None]) -> dict[str, Any]:
    """Run the measurement and return its figures."""
    policy = load_pack(pack)
    dry: list[float] = []
    signing: list[float] = []
    copies: dict[int, list[float]] = {size: [] for size in POLL_SIZES}
    told("starting a broker")
    async with place(pack) as here:
        told(f"loading {events:,} events of pack {pack}")
        config = here.config(topic_events=EVENTS_TOPIC, prefix="load.")
        await ensure(config, only=["events"])
        await produce(kafka_options(config), EVENTS_TOPIC, keyed(numbered(policy, events), policy.event))
        for turn in range(rounds):
            for size in POLL_SIZES:
                words = ["-m", "sidechain.agents.bench.copier", str(size)]
                copies[size].append(await _rate(here, f"copy{size}-{turn}", words, events))
            for with_keys in (turn % 2 == 1, turn % 2 == 0):
                name = f"{'signing' if with_keys else 'dry'}-{turn}"
                keys = own_keys(here.folder / f"{name}-keys", f"bench.{name}").settings if with_keys else {}
                words = ["-m", "sidechain.agents", "worker", "dry"]
                (signing if with_keys else dry).append(await _rate(here, name, words, events, **keys))
            best = max(values[-1] for values in copies.values())
            told(
                f"round {turn + 1} of {rounds}: {dry[-1]:,.0f} decisions/s, {signing[-1]:,.0f} with checkpoints, "
                f"copy {best:,.0f} records/s"
            )
    medians = {size: median(values) for size, values in copies.items()}
    best_size = max(medians, key=lambda size: medians[size])
    return {
        "dry_events_per_s": round(median(dry)),
        "copy_events_per_s": round(medians[best_size]),
        "ratio": round(median(dry) / medians[best_size], 3),
        "checkpoints_events_per_s": round(median(signing)),
        "checkpoints_ratio": round(median(signing) / median(dry), 3),
        "copy_poll_records": best_size,
        "rounds": rounds,
        "events": events,
        "pack": policy.ref,
        "dry_all": [round(one) for one in dry],
        "checkpoints_all": [round(one) for one in signing],
        "copy_all": {str(size): [round(one) for one in values] for size, values in copies.items()},
        "machine": machine(),
    }


async def _rate(here: Place, name: str, words: list[str], events: int, **more: str) -> float:
    """Records a second of one process over fresh topics, warm."""
    settings = {"topic_events": EVENTS_TOPIC, "prefix": f"bench.{name}.", **more}
    config = here.config(**settings)
    await ensure(config)
    with here.process(name, words, **settings) as process:
        seen = await growth(config, process, events, WITHIN_S)
    return rate(seen, events * WARM_SHARE)
