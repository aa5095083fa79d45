"""Text to tokens, with literals already turned into values.

Positions are offsets into the source; errors turn them into line and column. Whatever CEL has and we do not (uint and
bytes literals, optional selection) is refused here by name, so that nobody has to guess what a syntax error meant.
"""

import re
from typing import Final, Literal, NamedTuple

from sidechain.models.cel.language import INT_MAX, error_at

TokenKind = Literal["int", "double", "string", "name", "operator", "end"]
Value = int | float | str | None


class Token(NamedTuple):
    """`text` as written; `value` of a literal."""

    kind: TokenKind
    text: str
    offset: int
    value: Value = None


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SKIP: Final = re.compile(r"(?:[ \t\r\n\f]+|//[^\n]*)+")
_NUMBER: Final = re.compile(
    r"(?P<double>(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
    r"|(?P<int>0[xX][0-9a-fA-F]+|[0-9]+)"
)
_STRING: Final = re.compile(r"(?P<prefix>[rRbB]{0,2})(?P<quote>\"\"\"|'''|\"|')")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(r"&&|\|\||==|!=|<=|>=|\.\?|\[\?|[-+*/%!<>?:()\[\],.{}]")
_INSTEAD: Final = {"&": "&&", "|": "||", "=": "==", "^": "!=", "`": "'"}
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE: Final = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?",
}  # fmt: skip


def tokens(source: str) -> list[Token]:
    """All tokens of `source`, closed by one of kind `end`."""
    if surrogate := _SURROGATE.search(source):
        raise error_at(source, surrogate.start(), "half of a surrogate pair is no Unicode character")
    found: list[Token] = []
    at = 0
    while True:
        if skipped := _SKIP.match(source, at):
            at = skipped.end()
        if at == len(source):
            return [*found, Token("end", "", at)]
        token, at = _next(source, at)
        found.append(token)


def _next(source: str, at: int) -> tuple[Token, int]:
    if match := _STRING.match(source, at):
        return _string(source, match)
    if match := _NUMBER.match(source, at):
        return _number(source, match)
    if match := _NAME.match(source, at):
        return Token("name", match[0], at), match.end()
    if match := _OPERATOR.match(source, at):
        if match[0] in (".?", "[?"):
            raise error_at(source, at, "optional selection is not supported", "has(...) ? ... : ...")
        return Token("operator", match[0], at), match.end()
    character = source[at]
    raise error_at(source, at, f"unexpected character {character!r}", _INSTEAD.get(character))


def _number(source: str, match: re.Match[str]) -> tuple[Token, int]:
    at, text, end = match.start(), match[0], match.end()
    if source[end : end + 1] in ("u", "U"):
        raise error_at(source, at, "unsigned integers are not supported", text)
    if _NAME.match(source, end):
        raise error_at(source, at, f"malformed number {text}{source[end]}")
    if match["double"]:
        number = float(text)
        if number == float("inf"):
            raise error_at(source, at, f"{text} does not fit a double")
        return Token("double", text, at, number), end
    # One more than the largest: only a minus in front makes it fit, and the parser looks for that.
    digits = text[2:].lstrip("0") if text[:2] in ("0x", "0X") else text.lstrip("0")
    value = int(text, 16) if text[:2] in ("0x", "0X") else int(digits or "0") if len(digits) < 20 else INT_MAX + 2
    if value > INT_MAX + 1:
        raise error_at(source, at, "the number does not fit a 64-bit signed integer")
    return Token("int", text, at, value), end


def _string(source: str, match: re.Match[str]) -> tuple[Token, int]:
    at, prefix, quote = match.start(), match["prefix"].lower(), match["quote"]
    if "b" in prefix:
        raise error_at(source, at, "bytes are not supported", f"the string without the {match['prefix']} prefix")
    if prefix == "rr":
        raise error_at(source, at, "one r is enough for a raw string", f"r{quote}")
    start = match.end()
    end = _closing(source, start, quote, raw=prefix == "r")
    if end is None:
        raise error_at(source, at, f"the string has no closing {quote}")
    body = source[start:end]
    value = body if prefix == "r" else _ESCAPE.sub(lambda found: _unescape(source, start, found), body)
    return Token("string", source[at : end + len(quote)], at, value), end + len(quote)


def _closing(source: str, start: int, quote: str, *, raw: bool) -> int | None:
    """Where the closing quote stands; None if there is none, or a line ends before it in a one-line string."""
    at = start
    while at < len(source):
        if source.startswith(quote, at):
            return at
        if len(quote) == 1 and source[at] in "\r\n":
            return None
        at += 2 if source[at] == "\\" and not raw else 1
    return None


def _unescape(source: str, start: int, escape: re.Match[str]) -> str:
    at = start + escape.start()
    small, large, four, eight, octal, other = escape.groups()
    if other is not None:
        if other not in _SIMPLE:
            raise error_at(source, at, f"unknown or incomplete escape \\{other}", f"\\\\{other}")
        return _SIMPLE[other]
    code = int(octal, 8) if octal else int(small or large or four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise error_at(source, at, f"{escape[0]} is no Unicode character")
    return chr(code)
