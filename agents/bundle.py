"""Asking an export what can be asked of the topics it was made of, with no broker: verify and replay."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import file_digest
from itertools import islice
from pathlib import Path

import msgspec

from sidechain.agents.believing import UNTRUSTING, Trust
from sidechain.agents.bundle_files import MANIFEST, MANIFEST_VERSIONS, Kind, Manifest, Part, read
from sidechain.agents.control_log import ControlLog
from sidechain.agents.known_policies import begun_under, must_be_known, policies_by_digest, policy_in
from sidechain.agents.problems import AnswerIsNo, UsageProblem
from sidechain.agents.proof import Proof
from sidechain.agents.replay_behind import Behind, from_entry
from sidechain.agents.snapshot import Snapshot, Standing
from sidechain.agents.verify_files import Beside, lines_of, records_of, unmatched, verify_files
from sidechain.models.dry import Line
from sidechain.models.dry.chain import Fault
from sidechain.models.dry.entry import CO_PARTITIONED
from sidechain.models.dry.records import InputRecord
from sidechain.models.dry.replay import Replayer
from sidechain.models.list_rows import ListRows
from sidechain.models.pack_file import load
from sidechain.models.pack_reader import PackError
from sidechain.models.policy import Policy
from sidechain.models.proof.replay_check import ReplayCheck
from sidechain.models.report.tally import Ask

Told = Callable[[int], None]
TOLD_EVERY = 5_000


class Bundle:
    """The folder an export wrote."""

    def __init__(self, folder: Path) -> None:
        """Raises `UsageProblem` when the folder holds no manifest that can be read."""
        self.folder = folder
        try:
            self.manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except OSError as error:
            raise UsageProblem(f"{folder} is no export: {MANIFEST} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise UsageProblem(f"{folder} is no export: {MANIFEST}: {error}") from None
        if self.manifest.v not in MANIFEST_VERSIONS:
            known = " and ".join(map(str, MANIFEST_VERSIONS))
            raise UsageProblem(f"{folder} is an export of version {self.manifest.v}; {known} are known here")
        for one in self.manifest.files:
            if Path(one.name).name != one.name:
                raise UsageProblem(f"{folder} is no export: {one.name!r} is not a file of it")
        self._control = ControlLog()

    def verify(self, jobs: int, told: Told, trust: Trust = UNTRUSTING, ask: Ask | None = None) -> list[Proof]:
        """Check every chain, that it is the one that was signed, and that it ends where the manifest says.

        With `ask`, each proof brings along what the entries come to.

        Raises `AnswerIsNo` for an altered file.
        """
        self._check_others()
        chains = self._parts("decisions")
        filled = [one for one in chains if one.records]
        records = {one.partition: self._path(one) for one in self._parts("checkpoints") if one.records}
        beside = Beside(trust, records, self.manifest.log)
        files, partitions = [self._path(one) for one in filled], [one.partition for one in filled]
        found = verify_files(files, jobs, told, beside, partitions, ask)
        by_part = dict(zip(filled, found, strict=True))
        proofs = [self._against(one, by_part.get(one) or self._nothing(one)) for one in chains]
        return [*proofs, *unmatched(proofs, Beside(trust, records))]

    def replay(self, given: Policy | None, told: Told, snapshot: Snapshot | None = None) -> list[Proof]:
        """Decide every entry anew; `given` is the policy of the workers, by default the one in the export.

        With a snapshot, only what stands behind it.
        """
        events = {one.partition: one for one in self._parts("events")}
        if not events.keys() >= {one.partition for one in self._parts("decisions")}:
            raise UsageProblem(f"{self.folder} holds no events; `sidechain export --with-events` writes them")
        self._check_others()
        self._control = self._read_control()
        self._rows = ListRows(self._control)
        policy = given or self._policy()
        known = self._known(policy)
        chains = {one.partition: one for one in self._parts("decisions")}
        if snapshot is None:
            return [self._replayed(one, events[one.partition], policy, known, told) for one in chains.values()]
        return [
            self._replayed_behind(one, chains[one.place.partition], events[one.place.partition], known, told)
            for one in snapshot.standings(chains)
        ]

    def policies(self) -> dict[str, Policy]:
        """Every policy there is a text of here."""
        self._control = self._read_control()
        return self._known()

    def _replayed(self, part: Part, events: Part, given: Policy, known: Mapping[str, Policy], told: Told) -> Proof:
        lines = records_of(self._path(part))
        first = next(lines, None)
        if first is None:
            return self._against(part, Proof(part.partition))
        genesis, fault = begun_under(first, given, known)
        replayer = Replayer(
            genesis,
            part.partition,
            self._inputs(events).of,
            load=lambda text: load(text, name="control"),
            known=known.values(),
            rows=self._rows.of,
        )
        check = ReplayCheck(replayer, fault)
        check.take([first])
        while batch := list(islice(lines, TOLD_EVERY)):
            check.take(batch)
            told(len(batch))
        must_be_known(check.finish())
        return self._against(part, Proof.replayed(part.partition, check.epochs))

    def _replayed_behind(
        self, standing: Standing, part: Part, events: Part, known: Mapping[str, Policy], told: Told
    ) -> Proof:
        behind = Behind(standing, standing.replayer(self._inputs(events).of, self._rows, list(known.values())))
        lines = from_entry(records_of(self._path(part)), standing)
        while not behind.fault and (batch := list(islice(lines, TOLD_EVERY))):
            behind.take(batch)
            told(len(batch))
        return self._against(part, behind.proof(), is_counted=False)

    def _inputs(self, events: Part) -> "Inputs":
        return Inputs(self.beginnings(events.partition), self._control)

    def _read_control(self) -> ControlLog:
        return ControlLog(line for one in self._parts("control") for line in self.records(self._path(one)))

    def _known(self, *given: Policy) -> dict[str, Policy]:
        """Every policy there is a text of here: as a file of its own, or in a control record."""
        texts = (self._path(one).read_bytes() for one in self._parts("policy"))
        known = policies_by_digest(texts) | {one.ref: one for one in given}
        on_control = (policy_in(one) for one in self._control.values())
        return known | {one.ref: one for one in on_control if one is not None}

    def _policy(self) -> Policy:
        try:
            return load((self.folder / "policy.yaml").read_bytes(), name="policy.yaml")
        except OSError as error:
            raise UsageProblem(f"{self.folder}/policy.yaml cannot be read: {error.strerror}") from None
        except PackError as error:
            raise UsageProblem(str(error)) from None

    def _check_others(self) -> None:
        """What is no chain has only its digest to be checked by."""
        for one in self.manifest.files:
            if one.kind == "decisions":
                continue
            if (digest := self._digest(one)) != one.sha256:
                raise AnswerIsNo(f"{one.name} is not the file that was exported: its SHA-256 is {digest[:16]}…")

    def _digest(self, part: Part) -> str:
        try:
            with self._path(part).open("rb") as file:
                return file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UsageProblem(f"{self._path(part)} cannot be read: {error.strerror}") from None

    def _nothing(self, part: Part) -> Proof:
        """A partition that had no entry has none."""
        has_any = next(lines_of(self._path(part)), None) is not None
        fault = Fault(0, None, "more than was exported", "no entry", "at least one") if has_any else None
        return Proof(part.partition, fault=fault, where=part.name if has_any else "")

    def _against(self, part: Part, proof: Proof, *, is_counted: bool = True) -> Proof:
        """What was found, beside what the manifest states: a file that ends early is right as far as it goes.

        `is_counted`: the proof counts from the chain's beginning, as the manifest does.
        """
        if proof.fault is not None:
            return self._broken_before(part, proof)
        entries = proof.entries if is_counted else part.records
        if (entries, proof.head or None) != (part.records, part.head):
            stated = f"{part.records:,} entries, head {(part.head or '-')[:16]}"
            found = f"{proof.entries:,} entries, head {(proof.head or '-')[:16]}"
            proof.fault = Fault(proof.entries, None, "the chain does not end where the export did", stated, found)
            proof.where = part.name
        return proof

    def _broken_before(self, part: Part, proof: Proof) -> Proof:
        """A chain that was broken when it was exported has only its file's digest to say that its end is all there."""
        last = proof.epochs[-1] if proof.epochs else None
        if last is not None and last.fault is None and (digest := self._digest(part)) != part.sha256:
            stated, found = f"SHA-256 {part.sha256[:16]}", f"SHA-256 {digest[:16]}"
            last.fault = Fault(proof.entries, None, "the file is not the one that was exported", stated, found)
            last.where = part.name
        return proof

    def beginnings(self, partition: int) -> dict[str, Callable[[], Iterator[Line]]]:
        """How each input of this partition that is here is read from its beginning, by logical topic."""
        files = {one: self.files(one) for one in CO_PARTITIONED}
        return {topic: partial(self.records, one[partition]) for topic, one in files.items() if partition in one}

    def files(self, kind: Kind) -> dict[int, Path]:
        """The files of a kind, by partition."""
        return {one.partition: self._path(one) for one in self._parts(kind)}

    def records(self, file: Path) -> Iterator[Line]:
        """The records of a topic that a file of this export holds. Raises `UsageProblem`."""
        for number, line in enumerate(lines_of(file), 1):
            try:
                yield read(line)
            except (ValueError, RecursionError) as error:
                raise UsageProblem(f"{file.name}, line {number:,} is no exported record: {error}") from None

    def _parts(self, kind: Kind) -> list[Part]:
        return [one for one in self.manifest.files if one.kind == kind]

    def _path(self, part: Part) -> Path:
        return self.folder / part.name


class Inputs:
    """The inputs of one partition, read along with its entries: each is in the order of its offsets."""

    def __init__(self, begin: Mapping[str, Callable[[], Iterator[Line]]], control: Mapping[int, InputRecord]) -> None:
        """`begin`: by logical topic, reads an input from the beginning; again where a person's decision leads back."""
        self._begin = begin
        self._control = control
        self._reading = {name: read() for name, read in begin.items()}
        self._at: dict[str, Line] = {}

    def of(self, topic: str, offset: int) -> InputRecord | None:
        if topic == "control":
            return self._control.get(offset)
        if topic not in self._begin:
            return None
        at = self._at.get(topic)
        if at is not None and at.offset > offset:
            self._reading[topic], at = self._begin[topic](), None
        while at is None or at.offset < offset:
            if (at := next(self._reading[topic], None)) is None:
                return None
            self._at[topic] = at
        return at if at.offset == offset else None
