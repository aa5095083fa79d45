"""The `lists` of a pack: what rules may ask of each. The rows are nobody's text; they come through `control`."""

from typing import Final, get_args

from sidechain.models.cel import INT, STRING, Type, Variable, table_of
from sidechain.models.pack_reader import NAME, Problems, Section
from sidechain.models.policy import KeyType, ListSchema
from sidechain.models.yaml_positions import Node, plain

LISTS_MAX: Final = 64
_TYPES: Final[dict[KeyType, Type]] = {"string": STRING, "int": INT}


def read_lists(problems: Problems, node: Node | None) -> tuple[ListSchema, ...]:
    """The lists a pack declares, in its order."""
    found: list[ListSchema] = []
    for name, value in problems.pairs(node, "lists"):
        if not NAME.fullmatch(name.text):
            problems.add(name, f'list name "{name.text}" must be lower-case letters, digits and _')
        with problems.section(value, f"list {name.text}") as section:
            key_type = section.choice("type", get_args(KeyType))
            value_type = section.choice("value", get_args(KeyType)) if section.get("value") is not None else None
            found.append(
                ListSchema(
                    name=name.text,
                    key_type=key_type,
                    value_type=value_type,
                    default=_default(section, value_type),
                    title=section.text("title", ""),
                )
            )
    if node is not None and len(found) > LISTS_MAX:
        problems.add(node, f"a pack has at most {LISTS_MAX} lists, and this one has {len(found)}")
    return tuple(found)


def list_variable(one: ListSchema) -> Variable:
    """What an expression sees as `lists.<name>`: unknown until rows are in force."""
    value = None if one.value_type is None else _TYPES[one.value_type]
    return Variable(table_of(_TYPES[one.key_type], value, one.default), unknown=True)


def _default(section: Section, value_type: KeyType | None) -> int | str | None:
    node = section.get("default")
    if node is None:
        return None
    given = plain(node)
    if value_type is None:
        section.complain("default", 'without a "value" there is nothing a "default" could stand for')
        return None
    if value_type == "int" and type(given) is int and -(2**63) <= given < 2**63:
        return given
    if value_type == "string" and isinstance(given, str):
        return given
    section.complain("default", f'"default" must be a value of the list, which are {value_type}')
    return None
