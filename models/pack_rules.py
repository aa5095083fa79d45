"""The judging half of a pack: rules with their cases, typologies, the trust gate, and what the wet side is asked."""

from collections.abc import Mapping as MappingType
from typing import Any, Final, get_args

from sidechain.models.cel import BOOL, INT, Type, Variable, check, evaluator
from sidechain.models.pack_reader import Problems, Section, closest, refuse_repeated, titled
from sidechain.models.policy import EXPERTS, PANEL, Case, Effect, Rule, Then, Trust, TrustInput, Typology, Wet
from sidechain.models.yaml_positions import Node, plain

Variables = MappingType[str, Variable]

FULL_BP: Final = 10_000
MAX_TOTAL: Final = 2**63 - 1
EXPLAINED_BP: Final = 8_400
CONSENSUS: Final = "consensus"
RISK: Final = "signals.risk"
SCORE: Final = "score_bp"


def read_rules(problems: Problems, node: Node | None, variables: Variables) -> tuple[Rule, ...]:
    """The rules, in the order in which they are asked."""
    seen: set[str] = set()
    rules: list[Rule] = []
    for index, one in enumerate(problems.items(node, "rules")):
        what = titled("rule", one, "id", index)
        with problems.section(one, what) as section:
            rule_id = section.name("id")
            refuse_repeated(section, "id", rule_id, seen)
            mistakes = len(problems.found)
            when = section.cel("when", variables, BOOL)
            # Without a condition nothing can be said about its cases.
            reads = {name: variables[name] for name in when.variables} if len(problems.found) == mistakes else None
            rules.append(
                Rule(
                    id=rule_id,
                    when=when,
                    then=section.choice("then", get_args(Effect)),
                    points_bp=section.integer("points", 0, most=FULL_BP),
                    reason=section.text("reason"),
                    cases=_cases(problems, section.get("cases"), what, reads),
                )
            )
    return tuple(rules)


def _cases(problems: Problems, node: Node | None, what: str, reads: Variables | None) -> tuple[Case, ...]:
    """`reads`: the variables of the rule's condition; None if that is refused itself."""
    found: list[Case] = []
    with problems.section(node, f'"cases" of {what}') as cases:
        for name, fires in (("fires", True), ("silent", False)):
            for one in problems.items(cases.get(name), f'"{name}" of {what}'):
                if reads is not None:
                    values = _case_values(problems, one, what, reads)
                    found.append(Case(fires=fires, values=values, line=one.line))
    return tuple(found)


def _case_values(problems: Problems, node: Node, what: str, reads: Variables) -> dict[str, Any]:
    values: dict[str, Any] = {}
    meant: set[str | None] = set()
    for name, value in problems.pairs(node, f"a case of {what}"):
        if name.text not in reads:
            guess = closest(name.text, reads)
            meant.add(guess)
            problems.add(name, f'{what} does not read "{name.text}"', guess)
            continue
        variable = reads[name.text]
        given = plain(value)
        if given is None and variable.unknown:
            continue
        if not _fits(given, variable.type):
            problems.add(value, f"{name.text} is {variable.type}, and {given!r:.60} does not fit")
        values[name.text] = given
    for always, variable in reads.items():
        if not variable.unknown and always not in values and always not in meant:
            problems.add(node, f"a case of {what} must say what {always} is: it is always known")
    return values


def _fits(value: object, kind: Type) -> bool:
    """Whether a case's value is one of `kind`, asked of the language itself."""
    probe = evaluator(check("has(a.b)", {"a.b": Variable(kind, unknown=True)}))
    try:
        return value is not None and probe({"a.b": value}) is True
    except TypeError:
        return False


def read_typologies(problems: Problems, node: Node | None, rules: tuple[Rule, ...]) -> tuple[Typology, ...]:
    """Weighted sets of the pack's rules."""
    known = {one.id for one in rules}
    seen: set[str] = set()
    found: list[Typology] = []
    for index, one in enumerate(problems.items(node, "typologies")):
        with problems.section(one, titled("typology", one, "id", index)) as section:
            mistakes = len(problems.found)
            weights = _weights(problems, section, known)
            total = sum(weights.values()) if len(problems.found) == mistakes else MAX_TOTAL
            typology = Typology(
                id=section.name("id"),
                title=section.text("title", ""),
                weights=weights,
                review_at=section.integer("review_at", least=1),
                block_at=section.optional_integer("block_at", least=1),
                reason=section.text("reason", ""),
            )
            refuse_repeated(section, "id", typology.id, seen)
            if typology.block_at is not None and typology.block_at < typology.review_at:
                section.complain("block_at", '"block_at" is below "review_at"')
            for name, threshold in (("review_at", typology.review_at), ("block_at", typology.block_at or 0)):
                if threshold > total:
                    section.complain(name, f'"{name}" is {threshold} and all weights together are {total}: unreachable')
            found.append(typology)
    return tuple(found)


def _weights(problems: Problems, section: Section, known: set[str]) -> dict[str, int]:
    weights: dict[str, int] = {}
    for name, value in problems.pairs(section.need("rules"), f'"rules" of {section.what}'):
        weight = plain(value)
        if name.text not in known:
            problems.add(name, f'unknown rule "{name.text}" in {section.what}', closest(name.text, known))
        elif type(weight) is not int or not 1 <= weight <= FULL_BP:
            problems.add(value, f"the weight of {name.text} must be a whole number from 1 to {FULL_BP}")
        else:
            weights[name.text] = weight
    return weights


def read_trust(problems: Problems, node: Node | None, variables: Variables) -> Trust:
    """The trust gate; what a pack leaves out lets an event pass that fired no rule and has no known risk.

    The default alignment starts at 9500 and not at 10000: certainty would drown every risk.
    """
    sees = {**variables, SCORE: Variable(INT)}
    # 9900 at most: by arithmetic a risk of 10000 would block alone, and no model is that sure.
    risk = f"{RISK} > 9900 ? 9900 : {RISK}" if RISK in variables else "2000"
    with problems.section(node, "trust") as section:
        default = Trust(
            alignment=_input(section, "alignment", sees, f"9500 - {SCORE} * 9 / 10", 5_000),
            risk=_input(section, "risk", sees, risk, 2_000),
            band=_input(section, "band", sees, "3000", 5_000),
        )
        with problems.section(section.get("weights"), '"weights" of trust') as weights:
            names = ("alignment", "risk", "band")
            given = [weights.integer(name, default.weights_bp[at], most=FULL_BP) for at, name in enumerate(names)]
            if sum(given) != FULL_BP:
                section.complain("weights", f"the weights must sum to {FULL_BP}, and they sum to {sum(given)}")
        with problems.section(section.get("tiers"), '"tiers" of trust') as tiers:
            block_bp = tiers.integer("block", default.block_bp, most=FULL_BP)
            review_bp = tiers.integer("review", default.review_bp, most=FULL_BP)
            monitor_bp = tiers.integer("monitor", default.monitor_bp, most=FULL_BP)
            if not block_bp <= review_bp <= monitor_bp:
                section.complain("tiers", 'the edges must rise: "block" <= "review" <= "monitor"')
        with problems.section(section.get("floor"), '"floor" of trust') as floor:
            floor_bp = floor.integer("below", default.floor_bp, most=FULL_BP)
            floor_then = floor.choice("then", get_args(Then), default.floor_then)
        with problems.section(section.get("entropy"), '"entropy" of trust') as entropy:
            entropy_bp = entropy.integer("above", default.entropy_bp, most=FULL_BP)
            entropy_then = entropy.choice("then", get_args(Then), default.entropy_then)
    return Trust(
        alignment=default.alignment,
        risk=default.risk,
        band=default.band,
        weights_bp=(given[0], given[1], given[2]),
        block_bp=block_bp,
        review_bp=review_bp,
        monitor_bp=monitor_bp,
        floor_bp=floor_bp,
        floor_then=floor_then,
        entropy_bp=entropy_bp,
        entropy_then=entropy_then,
    )


def _input(section: Section, name: str, variables: Variables, default: str, unknown_bp: int) -> TrustInput:
    node = section.get(name)
    if node is None:
        return TrustInput(value=check(default, variables, expect=INT), unknown_bp=unknown_bp)
    with section.problems.section(node, f'"{name}" of trust') as one:
        value = one.cel("value", variables, INT)
        # Arithmetic can overflow, so that even what reads only known values has a stand-in.
        stand_in_bp = one.integer("unknown", unknown_bp, most=FULL_BP)
    return TrustInput(value=value, unknown_bp=stand_in_bp)


def read_wet(problems: Problems, node: Node | None, features: tuple[str, ...]) -> Wet:
    """What the wet side is asked: which features it sees, and when its word counts."""
    default = Wet()
    with problems.section(node, "wet") as section:
        wet = Wet(
            vector=(vector := _features(problems, section, "vector", features)),
            groups=_features(problems, section, "groups", vector),
            sample_bp=section.integer("sample", default.sample_bp, most=FULL_BP),
            raise_at_bp=section.integer("raise_at", default.raise_at_bp, most=FULL_BP),
            clear_at_bp=section.integer("clear_at", default.clear_at_bp, most=FULL_BP),
            critical_at_bp=section.integer("critical_at", default.critical_at_bp, most=FULL_BP),
            ttl_ms=section.duration("ttl", default.ttl_ms),
            compensate=section.text("compensate", default.compensate, 64),
            compensations_per_minute=section.integer("compensations_per_minute", default.compensations_per_minute),
            warmup=section.integer("warmup", default.warmup, least=16, most=1_000_000),
            words=_words(problems, section, features),
            experts=_experts(problems, section),
            # Above it a score adds to a risk: whatever raises somebody has its reasons.
            explain_above_bp=section.integer("explain_above", default.explain_above_bp, most=EXPLAINED_BP),
        )
        if not wet.clear_at_bp < wet.raise_at_bp <= wet.critical_at_bp:
            section.complain("raise_at", 'thresholds must rise: "clear_at" < "raise_at" <= "critical_at"')
    return wet


def _experts(problems: Problems, section: Section) -> tuple[str, ...]:
    named = section.names("experts")
    for name, place in named:
        if name not in EXPERTS:
            problems.add(place, f'unknown expert "{name}" in "experts" of wet', closest(name, EXPERTS))
    experts = tuple(name for name, _ in named)
    if len(set(experts)) != len(experts):
        section.complain("experts", "an expert stands twice among the experts")
    if experts[:1] == (CONSENSUS,):
        section.complain("experts", "the first expert is the baseline, and a consensus alone is none")
    return experts or PANEL


def _features(problems: Problems, section: Section, key: str, features: tuple[str, ...]) -> tuple[str, ...]:
    named = section.names(key)
    for name, place in named:
        if name not in features:
            problems.add(place, f'unknown feature "{name}" in "{key}" of wet', closest(name, features))
    if len({name for name, _ in named}) != len(named):
        section.complain(key, f"a feature stands twice in the {key}")
    return tuple(name for name, _ in named)


def _words(problems: Problems, section: Section, features: tuple[str, ...]) -> dict[str, str]:
    words: dict[str, str] = {}
    for name, value in problems.pairs(section.get("words"), f'"words" of {section.what}'):
        phrase = plain(value)
        if name.text not in features:
            problems.add(name, f'unknown feature "{name.text}" in "words" of wet', closest(name.text, features))
        elif not isinstance(phrase, str) or not 1 <= len(phrase) <= 200:
            problems.add(value, f"the words for {name.text} must be a text of 1 to 200 characters")
        else:
            words[name.text] = phrase
    return words
