"""The signals of a pack: what the wet side may say about an event's key or something else, and how that is learned."""

from typing import Final, get_args

from sidechain.models.cel import STRING, Variable
from sidechain.models.pack_reader import NAME, Problems, Section
from sidechain.models.policy import Label, Learn, Signal
from sidechain.models.yaml_positions import Node

_MAX_PANES: Final = 366
_MAX_WINDOW_MS: Final = 366 * 86_400_000


def read_signals(problems: Problems, node: Node | None, variables: dict[str, Variable]) -> tuple[Signal, ...]:
    """The signals, in the order of the pack. `variables`: what `of` may read."""
    found: list[Signal] = []
    for name, value in problems.pairs(node, "signals"):
        if not NAME.fullmatch(name.text):
            problems.add(name, f'signal name "{name.text}" must be lower-case letters, digits and _')
        with problems.section(value, f"signal {name.text}") as signal:
            one = Signal(
                name=name.text,
                max_age_ms=signal.duration("max_age"),
                minimum=signal.integer("min", 0, least=-(2**63)),
                maximum=signal.integer("max", 10_000, least=-(2**63)),
                of=signal.optional_cel("of", variables, STRING),
                learn=_learn(problems, signal.get("learn"), f'"learn" of signal {name.text}'),
                title=signal.text("title", ""),
            )
            if one.minimum > one.maximum:
                signal.complain("max", '"max" is below "min"')
            if one.learn is not None:
                _check(signal, one, one.learn)
            found.append(one)
    return tuple(found)


def _learn(problems: Problems, node: Node | None, what: str) -> Learn | None:
    if node is None:
        return None
    mistakes = len(problems.found)
    with problems.section(node, what) as learn:
        one = Learn(
            share=learn.choice("share", get_args(Label)),
            window_ms=learn.duration("window"),
            panes=learn.integer("panes", 28, least=1, most=_MAX_PANES),
            least=learn.integer("least", 1, least=1, most=1_000_000),
        )
        if one.window_ms > _MAX_WINDOW_MS:
            learn.complain("window", f'"window" must be at most {_MAX_WINDOW_MS // 86_400_000}d')
        elif one.window_ms % one.panes:
            better = next(count for count in range(min(one.panes, one.window_ms), 0, -1) if one.window_ms % count == 0)
            learn.complain("panes", f"{one.window_ms} ms do not divide into {one.panes} panes", f"panes: {better}")
    return one if len(problems.found) == mistakes else None


def _check(signal: Section, one: Signal, learn: Learn) -> None:
    if one.of is None and signal.get("of") is None:
        signal.complain("learn", 'what is learned is of something that outcomes have in common: say what with "of"')
    if one.max_age_ms < learn.pane_ms:
        signal.complain(
            "max_age", f'"max_age" is shorter than a pane of {learn.pane_ms} ms, so that no value would ever count,'
        )
