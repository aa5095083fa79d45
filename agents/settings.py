"""Every setting there is: name, type, default, meaning. How values are found is `config.py`'s business.

Durations end in `_s`, sizes in `_bytes`, secrets in `_file`: a secret is read from a file when it is needed and never
stands in a setting, an argument or an environment variable.
"""

import os
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from sidechain.agents.problems import UsageProblem

if TYPE_CHECKING:
    from sidechain.models.policy import Policy

Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(gt=0)]


class Config(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All settings of one run. `load` in config.py makes it."""

    # The cluster.
    bootstrap: str = "127.0.0.1:9092"  # host:port, several with commas
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password_file: Path | None = None
    ssl_ca_file: Path | None = None  # None: the system's authorities
    ssl_cert_file: Path | None = None  # with ssl_key_file: who we are (mTLS)
    ssl_key_file: Path | None = None
    ssl_key_password_file: Path | None = None

    # What is decided, and on which topics.
    pack: str | None = None  # a pack that comes with Sidechain ...
    policy: Path | None = None  # ... or a pack file of your own
    prefix: str | None = None  # of topics, groups and transactional ids; None: sidechain.<pack>.
    topics: dict[str, str] = {}  # logical name -> the topic's full name on this cluster
    partitions: Count = 4
    replication: Count = 1  # 3 in production
    shard_size: Count = 4  # consecutive partitions that move as one

    # Bounds of the decider.
    batch_max_records: Count = 4_000
    batch_max_bytes: Annotated[int, Meta(ge=65_536)] = 8_388_608
    takeover_timeout_s: Seconds = 60.0
    commit_timeout_s: Seconds = 30.0
    metadata_timeout_s: Seconds = 5.0  # for loading the metadata table; then on without it
    retry_timeout_s: Seconds = 60.0  # how long one batch is tried again
    session_timeout_s: Seconds = 10.0
    transaction_timeout_s: Seconds = 60.0
    shutdown_timeout_s: Seconds = 20.0

    # Checkpoints. Without a key none are written; with the root's public key those of others are believed.
    checkpoint_key_file: Path | None = None  # this worker's private key, as `sidechain keys new worker` makes it
    checkpoint_certificate_file: Path | None = None  # what the root says of that key
    checkpoint_root_file: Path | None = None  # the root's public key
    checkpoint_every_s: Seconds = 1.0  # at most one checkpoint a partition in this time
    replay_window_s: Seconds = 604_800.0  # a decision this old can still be replayed from the topics; see doctor

    # The wet side.
    tap_max_lag: Count = 100_000  # records the tap may lag before it skips ahead
    wet_max_lag: Count = 100_000  # taps of a partition that may wait; then the older half of them is dropped
    wet_nice: Annotated[int, Meta(ge=0, le=19)] = 10  # how far tap and wet worker step back for others on the machine
    wet_share: Annotated[float, Meta(gt=0, le=1)] | None = None  # of one processor, for each; None: see `share`
    wet_gather_ms: Annotated[int, Meta(ge=0, le=5_000)] = 200  # how long records may wait for others at each step
    pseudonym_key_file: Path | None = None
    models: Path | None = None  # folder of models and their cards; None: `models` in the data folder

    # Watching.
    metrics_targets: str = ""  # where workers serve /metrics: ports here, host:port or URLs, several with commas
    prometheus_url: str | None = None  # whose alerts the sentinel hears, too
    webhook_url: str | None = None  # where the sentinel tells of incidents; None: on the topic alone
    webhook_secret_file: Path | None = None  # sent as a bearer token

    # Metrics.
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0  # 0: no endpoint

    # The local broker.
    data: Path  # topics of the local broker
    cache: Path  # its downloads
    broker_port: Port = 9092  # 0: any free one
    broker_quick: bool = False  # less compilation: cheaper for the first minute, slower under lasting load
    broker_heap: Annotated[str, Meta(pattern=r"^\d+[kmgKMG]$")] = "512m"
    java: Path | None = None
    jars: Path | None = None  # a folder of Kafka's jars; None: fetched once
    mirror: str | None = None  # base URL of a Maven repository

    @cached_property
    def loaded_policy(self) -> "Policy":
        """The policy that `pack` or `policy` names. Raises UsageProblem, PackError."""
        from sidechain.models.pack_file import load_file, load_pack

        if self.policy is not None:
            return load_file(self.policy)
        return load_pack(self.pack_name)

    @cached_property
    def pack_name(self) -> str:
        """The pack's name, also when a pack file was given."""
        if self.policy is not None:
            return self.loaded_policy.name
        if self.pack is None:
            raise UsageProblem("name the policy with --pack NAME or --policy FILE")
        return self.pack

    @cached_property
    def topic_prefix(self) -> str:
        """What all our topics, groups and transactional ids begin with."""
        return f"sidechain.{self.pack_name}." if self.prefix is None else self.prefix

    def topic(self, logical: str) -> str:
        """The full name of a topic on this cluster. KeyError for a logical name that is not in the catalogue."""
        from sidechain.topics.catalog import catalog

        named = catalog()[logical].name
        return self.topics.get(named) or self.topic_prefix + named

    @property
    def broker_home(self) -> Path:
        """The local broker's folder."""
        return self.data / "broker"

    @property
    def models_folder(self) -> Path:
        """Where models and their cards are kept: the trainer writes there, the wet worker reads."""
        return self.models or self.data / "models"

    @property
    def share(self) -> float:
        """Of one processor: what the tap, and what the wet worker, may use, if not set a sixteenth of the machine."""
        if self.wet_share is not None:
            return self.wet_share
        allowed = getattr(os, "sched_getaffinity", None)  # Linux alone knows which processors are ours
        return min((len(allowed(0)) if allowed is not None else os.cpu_count() or 1) / 16, 1.0)

    @property
    def loopback(self) -> bool:
        """Whether every broker named is this machine."""
        return all(_is_loopback(one.strip().rpartition(":")[0]) for one in self.bootstrap.split(","))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
