"""Whatever is written in a pack: an expression, or a CelError with a place inside the source. Nothing else escapes."""

import os
import random

import pytest

from sidechain.models.cel import BOOL, DOUBLE, INT, STRING, CelError, Variable, check, evaluator, list_of

SEED = int(os.environ.get("SIDECHAIN_TEST_SEED", "20250802"))
VARIABLES = {
    "a.i": Variable(INT),
    "a.d": Variable(DOUBLE),
    "a.s": Variable(STRING),
    "a.b": Variable(BOOL, unknown=True),
    "a.l": Variable(list_of(STRING), unknown=True),
}
PIECES = (
    *VARIABLES, *"+-*/%!<>?:()[],.{}&|='\"\\ \n\t\0\x7f#@$_`0123456789", "&&", "||", "==", "!=", "<=", ">=", " in ",
    "true", "false", "null", "size", "has(", "int(", "double(", "string(", ".startsWith(", ".size()", "'x'", "r'",
    "'''", "\"\"\"", "1.5", "1e9", "0x", "9223372036854775808", "5u", "b'", "//", "\\u", "\\U0010FFFF", "é", "\ud800",
    "if", "and", "__class__", "lambda", "__import__('os')", "_cel_len",
)  # fmt: skip
SEEDS = (
    "a.i >= 400 && a.s.startsWith('/x') || !a.b",
    "has(a.l) ? size(a.l) + 1 > 3 : a.i in [1, 2, 3]",
    "(a.d / 2.0 > 0.5) == (string(a.i) + 'z' < a.s)",
    "a.l[0] != 'q' && -(a.i % 7) < int('12')",
)


def mutated(chance: random.Random) -> str:
    """A valid expression with a few pieces put in, taken out or repeated; sometimes only pieces."""
    if chance.random() < 0.2:
        return "".join(chance.choices(PIECES, k=chance.randrange(12)))
    text = chance.choice(SEEDS)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, length = chance.randrange(len(text) + 1), chance.randrange(6)
        text = text[:at] + chance.choice((chance.choice(PIECES), text[at : at + 2 * length])) + text[at + length :]
    return text


@pytest.mark.parametrize("part", range(4))
def test_no_source_escapes_as_another_error(part: int):
    """20,000 mutilated expressions; those that still check also compile and run."""
    chance = random.Random(SEED + part)
    checked = 0
    for _ in range(5_000):
        source = mutated(chance)
        try:
            expression = check(source, VARIABLES)
        except CelError as error:
            refusal = error
        else:
            checked += 1
            evaluator(expression)({"a.i": 7, "a.d": 0.5, "a.s": "/x", "a.b": chance.choice((True, None))})
            continue
        lines = source.split("\n")
        assert 1 <= refusal.line <= len(lines), f"seed {SEED}, part {part}: {source!r}"
        assert 1 <= refusal.column <= len(lines[refusal.line - 1]) + 1, f"seed {SEED}, part {part}: {source!r}"
        assert refusal.message
    assert 250 < checked < 4_750
