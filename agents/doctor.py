"""Everything a run needs, looked at one by one. Each finding is a sentence; what is not well says what to do."""

import asyncio
import stat
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from sidechain.agents import kafka_files
from sidechain.agents.activate_list import activations, unlike
from sidechain.agents.admin import Existing, Step, existing, planned
from sidechain.agents.checkpoints import check_scope, ends_in_days, load_keys
from sidechain.agents.kafka_options import kafka_options
from sidechain.agents.problems import EnvironmentProblem, Problem
from sidechain.agents.proposals import now_ms, proposed, waiting
from sidechain.agents.pseudonym import read_secret
from sidechain.agents.settings import Config
from sidechain.models.dry.entry import CO_PARTITIONED, TOPICS
from sidechain.models.dry.records import DEAD_LETTER_MAX_BYTES
from sidechain.topics.catalog import catalog

State = Literal["ok", "warn", "fail"]

EXACT: Final = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}
NEEDED: Final = ("cramjam", "msgspec", "orjson", "prometheus-client", "PyYAML", "rich", "typer")
FOR_WET: Final = ("numpy", "scikit-learn")
OVERHEAD_BYTES: Final = 16_384  # what an entry or a dead letter adds to the bytes it repeats
SAFE_REPLICATION: Final = 3
SAFE_MIN_ISR: Final = 2
TRANSACTION_S: Final = 20.0
CONTROL_S: Final = 20.0
CERTIFICATE_DAYS: Final = 30  # before its end, somebody should have the root sign another
DAY_MS: Final = 86_400_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at."""

    check: str
    state: State
    says: str
    do: str = ""  # empty where all is well


async def examine(config: Config) -> list[Finding]:
    """Look at everything; never raises for what it finds."""
    found = [*_python(), *_local_broker(config), *_secret(config), *_checkpoints(config)]
    try:
        names = {config.topic(one) for one in catalog()}
        have = await existing(kafka_options(config), names)
    except (KafkaError, Problem, OSError) as fault:
        return [*found, _unreachable(config, fault)]
    found.append(_ok("cluster", f"{config.bootstrap} answers"))
    found.append(await _transactions(config))
    plan = planned(config, have)
    found += [*_topics(plan), *_limits(config, have), *_window(config, have), *_durability(config, plan, have)]
    return [*found, *await _lists(config, have), *await _proposals(config, have)]


def _python() -> Iterator[Finding]:
    yield _ok("python", f"{sys.version.split()[0]}")
    wrong = [
        f"{name} is {_version(name) or 'missing'}, not {exact}"
        for name, exact in EXACT.items()
        if _version(name) != exact
    ]
    wrong += [f"{name} is missing" for name in NEEDED if _version(name) is None]
    if wrong:
        yield _fail("packages", "; ".join(wrong), "install with the pinned requirements: make install")
    else:
        yield _ok("packages", ", ".join(f"{name} {exact}" for name, exact in EXACT.items()))
    if lacking := [name for name in FOR_WET if _version(name) is None]:
        yield _warn(
            "wet packages", f"{' and '.join(lacking)} missing", "for the wet side: pip install 'sidechain[wet]'"
        )
    else:
        yield _ok("wet packages", ", ".join(f"{name} {_version(name)}" for name in FOR_WET))


def _local_broker(config: Config) -> Iterator[Finding]:
    """Java and the jars matter only to `sidechain broker`, so nothing here is more than a warning."""
    try:
        java = kafka_files.find_java(config.java)
    except EnvironmentProblem as problem:
        yield _warn("java", "none for the local broker", str(problem))
    else:
        yield _ok("java", f"{java.version} at {java.path}")
    if kafka_files.cached(config.cache, given=config.jars):
        yield _ok("jars", f"Apache Kafka {kafka_files.KAFKA_VERSION} in {config.jars or config.cache}")
    else:
        yield _warn("jars", "not here yet", "`sidechain broker start` fetches them once (42 MB)")


def _secret(config: Config) -> Iterator[Finding]:
    if config.pack is None and config.policy is None:
        yield _warn(
            "policy", "none named, so neither it nor its secrets were looked at", "--pack NAME or --policy FILE"
        )
        return
    try:
        event = config.loaded_policy.event
    except Exception as fault:  # noqa: BLE001 - whatever is wrong with a pack is a finding here
        yield _fail("policy", str(fault).splitlines()[0], "`sidechain policy check` shows every mistake")
        return
    yield _ok("policy", config.loaded_policy.ref)
    personal = [one.name for one in event.fields if one.personal and one.role in ("id", "key")]
    path = config.pseudonym_key_file
    if path is None:
        if personal:
            says = f"no pseudonym_key_file, and {' and '.join(personal)} is personal"
            yield _fail("pseudonym key", says, "openssl rand -hex 32 > FILE, and set pseudonym_key_file")
        return
    try:
        read_secret(path)
    except EnvironmentProblem as problem:
        yield _fail("pseudonym key", "not usable", str(problem))
        return
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield _warn("pseudonym key", f"{path} can be read by others on this machine", f"chmod 600 {path}")
    else:
        yield _ok("pseudonym key", str(path))


def _checkpoints(config: Config) -> Iterator[Finding]:
    try:
        keys = load_keys(config)
        if keys is not None and (config.pack is not None or config.policy is not None):
            check_scope(keys, config, range(config.partitions))
    except Exception as fault:  # noqa: BLE001 - a pack that cannot be read is a finding of its own
        yield _fail("checkpoints", str(fault).splitlines()[0], "`sidechain keys show FILE` says what a file holds")
        return
    if keys is None:
        off = "off: nothing is signed, so a history rewritten whole would not be found out"
        if config.replication > 1:
            yield _warn("checkpoints", off, "`sidechain keys new`, `keys certify`, and set the three checkpoint files")
        else:
            yield _ok("checkpoints", off)
        return
    days = ends_in_days(keys, datetime.now(UTC).date())
    says = f"signed by {keys.certificate.key.name}, certificate {keys.certificate.serial}"
    if days is not None and days <= CERTIFICATE_DAYS:
        when = f"ends in {days} days" if days >= 0 else f"ended {-days} days ago"
        yield _warn("checkpoints", f"{says}, which {when}", "certify a new one: `sidechain keys certify --previous`")
    else:
        yield _ok("checkpoints", says)


def _window(config: Config, have: Mapping[str, Existing]) -> Iterator[Finding]:
    """A replay needs the inputs: entries can be verified for ever, and decided again only as long as those are kept."""
    window_s, is_there = config.replay_window_s, False
    short: list[str] = []
    for one in CO_PARTITIONED:
        if (topic := have.get(config.topic(TOPICS[one]))) is not None:
            is_there = True
            kept_ms = int(topic.settings.get("retention.ms", "-1"))
            short += [f"{one} are kept {kept_ms / DAY_MS:g} days"] if 0 <= kept_ms < window_s * 1_000 else []
    if short:
        yield _warn(
            "replay window",
            f"{' and '.join(short)}, and replay is promised for {window_s * 1_000 / DAY_MS:g}",
            "keep them longer, promise less (replay_window_s), or `sidechain export --with-events` before they go",
        )
    elif is_there:
        yield _ok("replay window", f"events are kept for the {window_s * 1_000 / DAY_MS:g} days replay is promised for")


def _unreachable(config: Config, fault: Exception) -> Finding:
    if isinstance(fault, Problem):
        return _fail("cluster", "not asked", str(fault))
    do = "`sidechain broker start`" if config.loopback else "check address, security_protocol and the network"
    return _fail("cluster", f"{config.bootstrap} does not answer ({type(fault).__name__})", do)


async def _transactions(config: Config) -> Finding:
    """One transactional id, initialised: coordinator, rights and the broker's time limit in one look."""
    producer = AIOKafkaProducer(
        **kafka_options(config),
        transactional_id=f"{config.topic_prefix}doctor",
        transaction_timeout_ms=int(config.transaction_timeout_s * 1_000),
    )
    try:
        await asyncio.wait_for(producer.start(), TRANSACTION_S)
    except (KafkaError, TimeoutError) as fault:
        return _fail(
            "transactions",
            f"cannot begin ({type(fault).__name__})",
            f"allow transactional ids beginning with {config.topic_prefix}, and a transaction.max.timeout.ms of at "
            f"least {config.transaction_timeout_s:.0f} s",
        )
    finally:
        await producer.stop()
    return _ok("transactions", "can begin")


def _topics(plan: list[Step]) -> Iterator[Finding]:
    kinds = {
        "create": ("missing", "`sidechain topics apply` creates them"),
        "change": ("not set as the catalogue says", "`sidechain topics apply` sets them right"),
        "refuse": ("with another number of partitions", "set `partitions` to theirs, or begin under another prefix"),
    }
    for action, (words, do) in kinds.items():
        if steps := [step for step in plan if step.action == action]:
            state = _warn if action == "change" else _fail
            said = ", ".join(step.why or step.logical for step in steps)
            yield state("topics", f"{len(steps)} {words}: {said}", do)
    if all(step.action == "none" for step in plan):
        yield _ok("topics", f"all {len(plan)} there, co-partitioned by {max(step.partitions for step in plan)}")
    for step in plan:
        if step.action == "none" and step.why:
            yield _warn("topics", f"{step.name} {step.why}", "set it so, if it is yours to set")


def _limits(config: Config, have: Mapping[str, Existing]) -> Iterator[Finding]:
    """What we write repeats what we read: the outputs must take more than the input brings."""

    def limit(logical: str) -> int | None:
        one = have.get(config.topic(logical))
        return int(one.settings["max.message.bytes"]) if one else None

    largest = limit("events")
    if largest is None:
        return
    needed = min(largest, DEAD_LETTER_MAX_BYTES) + OVERHEAD_BYTES
    small = [
        f"{config.topic(one)} takes {took:,} bytes"
        for one in ("dry.decisions", "dry.state", "dry.deadletters")
        if (took := limit(one)) is not None and took < needed
    ]
    if small:
        do = f"raise max.message.bytes to {needed:,} at least: `sidechain topics apply`"
        yield _fail("limits", f"{'; '.join(small)}, and an event may bring {largest:,}", do)
    else:
        yield _ok("limits", f"every output takes what an event of {largest:,} bytes leads to")


def _durability(config: Config, plan: list[Step], have: Mapping[str, Existing]) -> Iterator[Finding]:
    dry = [(step.name, have[step.name]) for step in plan if step.logical.startswith("dry.") and step.name in have]
    unclean = [name for name, one in dry if one.settings.get("unclean.leader.election.enable") == "true"]
    if unclean:
        yield _fail(
            "durability",
            f"{', '.join(unclean)} may lose sealed entries to an unclean leader election",
            "set unclean.leader.election.enable=false",
        )
    if not dry or config.loopback:  # a cluster on this machine is for trying things out
        return
    weak = [name for name, one in dry if one.replication < SAFE_REPLICATION]
    if weak:
        says = f"{', '.join(weak)} have fewer than {SAFE_REPLICATION} replicas"
        yield _warn("durability", says, "create them with replication: 3; a lost disk would lose the chain")
    thin = [name for name, one in dry if int(one.settings.get("min.insync.replicas", "1")) < SAFE_MIN_ISR]
    if thin:
        says = f"{', '.join(thin)} acknowledge with fewer than {SAFE_MIN_ISR} replicas in sync"
        yield _warn("durability", says, "set min.insync.replicas=2")
    if not weak and not thin:
        yield _ok("durability", "dry topics have 3 replicas, 2 in sync")


async def _lists(config: Config, have: Mapping[str, Existing]) -> list[Finding]:
    """What a policy declares otherwise than it is in force, is unknown to its rules, and nothing else would say so."""
    try:
        policy = config.loaded_policy
    except Exception:  # noqa: BLE001 - none is named, or it cannot be read: findings of their own
        return []
    if not policy.lists or config.topic("control") not in have:
        return []
    try:
        async with asyncio.timeout(CONTROL_S):
            found = await activations(config, policy.name)
    except (KafkaError, TimeoutError) as fault:
        return [_warn("lists", f"not looked at ({type(fault).__name__})", "may this principal read control?")]
    do = "activate a version with these types: `sidechain lists activate`"
    if unknown := [_warn("lists", str(one), do) for one in unlike(policy, found)]:
        return unknown
    refs = {one.wanted.list_name: one.wanted.ref for one in found}
    return [_ok("lists", ", ".join(refs.get(one.name, f"{one.name}: none activated yet") for one in policy.lists))]


async def _proposals(config: Config, have: Mapping[str, Existing]) -> list[Finding]:
    """What somebody asks for and nobody has activated yet: all is well, and somebody may be waiting."""
    if config.topic("human.proposals") not in have:
        return []
    try:
        async with asyncio.timeout(CONTROL_S):
            found, unreadable = await proposed(config)
    except (KafkaError, TimeoutError) as fault:
        return [
            _warn("proposals", f"not looked at ({type(fault).__name__})", "may this principal read human.proposals?")
        ]
    told = waiting(found, now_ms())
    findings = [_ok("proposals", "; ".join([f"{len(told)} open", *told]))]
    if unreadable:
        says = f"{len(unreadable)} records of human.proposals are none"
        findings.append(_warn("proposals", says, "`sidechain proposals list` says why; who may write there?"))
    return findings


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _ok(check: str, says: str) -> Finding:
    return Finding(check=check, state="ok", says=says)


def _warn(check: str, says: str, do: str) -> Finding:
    return Finding(check=check, state="warn", says=says, do=do)


def _fail(check: str, says: str, do: str) -> Finding:
    return Finding(check=check, state="fail", says=says, do=do)
