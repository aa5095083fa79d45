"""What shadows reported: the newest word about each candidate and chain, and the candidates' figures added up."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem
from sidechain.agents.reader import Reader
from sidechain.agents.settings import Config
from sidechain.models.compare import Comparison
from sidechain.models.compare_fields import comparison_of, fields
from sidechain.models.verdict import Verdict, verdict
from sidechain.topics.wet import ShadowRecord

EXAMPLES: Final = 3
_decode: Final = msgspec.json.Decoder(ShadowRecord).decode


class Shadowed:
    """One candidate, over the chains it was held against."""

    def __init__(self, policy: str, digest: str, chains: Iterable[ShadowRecord]) -> None:
        """Raises `EnvironmentProblem` for figures that are none."""
        self.policy = policy
        self.digest = digest
        self.chains = sorted(chains, key=lambda one: one.partition)
        self.found = Comparison(examples=EXAMPLES)
        self.stake: str | None = None
        for one in self.chains:
            try:
                self.found.merge(comparison_of(one.figures, EXAMPLES))
            except ValueError as fault:
                raise EnvironmentProblem(
                    f"what stands on wet.shadow for {policy}, partition {one.partition}, are no figures: {fault}; "
                    "another program, or another release, has written there"
                ) from None
            self.stake = one.figures.get("stake")

    @property
    def said(self) -> Verdict:
        """PROMOTE, REVIEW or REJECT. What was not held against to the end is not promoted."""
        said = verdict(self.found)
        broken = [str(one.partition) for one in self.chains if one.broken is not None]
        if broken and said.word == "PROMOTE":
            return Verdict("REVIEW", (f"nothing counts behind a break in partition {', '.join(broken)}",))
        return said

    def fields(self) -> dict[str, Any]:
        """As `policy backtest --json` prints it, and behind it the entries it rests on."""
        return {
            **fields(self.found, self.policy, self.said, self.stake),
            "chains": [_chain(one) for one in self.chains],
        }


async def newest(reader: Reader) -> dict[tuple[str, int], ShadowRecord]:
    """The last report of each candidate's digest on each partition. Raises `EnvironmentProblem`."""
    found: dict[tuple[str, int], ShadowRecord] = {}
    async for records in reader.to_end(await reader.partitions()):
        for one in records:
            try:
                read = _decode(one.value or b"")
            except (ValueError, RecursionError) as fault:
                where = f"{reader.topic}, partition {one.partition}, offset {one.offset}"
                raise EnvironmentProblem(
                    f"{where} is no report of a shadow: {fault}; another program has written there"
                ) from None
            found[read.digest, one.partition] = read
    return found


async def shadowed(config: Config) -> list[Shadowed]:
    """Every candidate that was ever shadowed here."""
    async with Reader(kafka_options(config), config.topic("wet.shadow")) as reader:
        told = await newest(reader)
    by_policy: dict[tuple[str, str], list[ShadowRecord]] = {}
    for one in told.values():
        by_policy.setdefault((one.policy, one.digest), []).append(one)
    return [Shadowed(*named, chains) for named, chains in sorted(by_policy.items())]


def _chain(one: ShadowRecord) -> dict[str, Any]:
    return {
        "partition": one.partition,
        "entries": one.entries,
        "seq": one.seq,
        "head": one.head,
        "broken": one.broken,
    }
