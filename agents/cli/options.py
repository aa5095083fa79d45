"""Options that several commands have in common, written once.

    def account(connection: Connection, json: Json = False) -> None: …

A parameter whose type is a dataclass stands for the options that are the class's fields, in their order and at its
place among the others; the command is handed the object.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def spelled_out(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command as typer reads it, each group of options in the place of the parameter that stands for it.

    Raises `TypeError` when two of its options have one name: the second would hide the first.
    """
    signature = inspect.signature(command, eval_str=True)
    groups = {name: one.annotation for name, one in signature.parameters.items() if _is_group(one.annotation)}
    if not groups:
        return command
    options = [one for name, given in signature.parameters.items() for one in _options(given, groups.get(name))]
    if len({one.name for one in options}) < len(options):
        raise TypeError(f"{command.__qualname__} has an option twice: {', '.join(one.name for one in options)}")

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{one.name: given.pop(one.name) for one in fields(group)})
        return command(**given)

    run.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return run


def _is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _options(given: inspect.Parameter, group: Any) -> Iterator[inspect.Parameter]:
    # By name alone: so each has its place in the help, whether or not one before it has a default.
    if group is None:
        yield given.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        return
    types = get_type_hints(group, include_extras=True)
    for one in fields(group):
        default = inspect.Parameter.empty if one.default is MISSING else one.default
        yield inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[one.name])
