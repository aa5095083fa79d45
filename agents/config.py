"""Where a setting's value comes from: flag over environment over profile over file over default.

    # sidechain.yaml
    bootstrap: kafka-1.example:9093
    pack: web
    topics: {events: shop.requests}
    profiles:
      prod: {security_protocol: SASL_SSL, sasl_username: dry, sasl_password_file: /run/secrets/kafka, replication: 3}

The environment names a setting in capitals behind `SIDECHAIN_` (SIDECHAIN_BOOTSTRAP), a topic behind
`SIDECHAIN_TOPIC_` (SIDECHAIN_TOPIC_DRY_DECISIONS). A name nobody knows is refused, not passed over. Paths in the file
are relative to the file.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from sidechain.agents.folders import cache_folder, data_folder
from sidechain.agents.local_kafka import running
from sidechain.agents.problems import UsageProblem
from sidechain.agents.settings import Config
from sidechain.topics.catalog import catalog

FILE: Final = "sidechain.yaml"
PREFIX: Final = "SIDECHAIN_"
TOPIC_PREFIX: Final = "SIDECHAIN_TOPIC_"
SELECTORS: Final = ("SIDECHAIN_PROFILE", "SIDECHAIN_CONFIG")
# Kubernetes puts such names into every container beside a service called sidechain-…
_SERVICE_LINK: Final = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP).*)?$")

_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Config)}
_PATHS: Final = frozenset(
    name for name, field in _FIELDS.items() if field.type is Path or Path in getattr(field.type, "__args__", ())
)


@dataclass(frozen=True)
class Loaded:
    """The settings, and where each one came from."""

    config: Config
    origins: Mapping[str, str]


@dataclass(frozen=True)
class _Layer:
    """Settings that come from one place."""

    origin: str
    values: Mapping[str, Any]
    folder: Path  # relative paths start here


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """The settings of this run. `flags`: those given on the command line, None meaning not given.

    `file`: else SIDECHAIN_CONFIG, else sidechain.yaml in the working folder if there is one. `profile`: else
    SIDECHAIN_PROFILE. Raises UsageProblem.
    """
    here = Path.cwd()
    layers = [
        _Layer("default", {"data": data_folder(environ), "cache": cache_folder(environ)}, here),
        *_file_layers(file, profile, environ),
        *_environment_layers(environ, here),
        *(_Layer(f"--{name.replace('_', '-')}", {name: value}, here) for name, value in _given(flags)),
    ]
    values: dict[str, Any] = {"topics": {}}
    origins = dict.fromkeys(_FIELDS, "default")
    for layer in layers:
        _one_policy(layer)
        for name, value in layer.values.items():
            checked = _converted(name, value, layer)
            if name == "topics":
                values["topics"].update(checked)
                origins.update({f"topics.{one}": layer.origin for one in checked})
                continue
            if name in ("pack", "policy"):  # either replaces both: they answer the same question
                values.pop("pack", None)
                values.pop("policy", None)
            values[name], origins[name] = checked, layer.origin
    if origins["bootstrap"] == "default" and (found := running(values["data"] / "broker")):
        values["bootstrap"], origins["bootstrap"] = found.bootstrap, "the running local broker"
    return Loaded(Config(**values), origins)


def _given(flags: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in (flags or {}).items() if value is not None)


def _one_policy(layer: _Layer) -> None:
    if layer.values.get("pack") is not None and layer.values.get("policy") is not None:
        raise UsageProblem(f"{layer.origin} names both a pack and a policy; which one is meant?")


def _file_layers(file: Path | None, profile: str | None, environ: Mapping[str, str]) -> Iterator[_Layer]:
    if file is None and (named := environ.get("SIDECHAIN_CONFIG")):
        file = Path(named)
    profile = profile or environ.get("SIDECHAIN_PROFILE") or None
    path = file or Path(FILE)
    if file is None and not path.exists():
        if profile:
            raise UsageProblem(f"profile {profile} is asked for, but there is no {FILE} here; name one with --config")
        return
    content = _read(path)
    profiles = content.pop("profiles", None) or {}
    if not isinstance(profiles, dict):
        raise UsageProblem(f"{path}: profiles must be a map from a profile's name to its settings")
    folder = path.absolute().parent
    yield _Layer(str(path), _known(content, str(path)), folder)
    for name, values in profiles.items():  # also those not in use: a mistake there should not wait for its day
        layer = _Layer(f"{path}, profile {name}", _known(values or {}, f"{path}, profile {name}"), folder)
        for one, value in layer.values.items():
            _converted(one, value, layer)
    if profile:
        if profile not in profiles:
            raise UsageProblem(f"{path} has no profile {profile}{_hint(profile, profiles)}")
        yield _Layer(f"{path}, profile {profile}", profiles[profile] or {}, folder)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageProblem(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from fault
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageProblem(f"{path}{where}: not YAML: {getattr(fault, 'problem', None) or fault}") from fault
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageProblem(f"{path}: a map of settings is expected")
    return content


def _known(values: Any, origin: str) -> Mapping[str, Any]:
    """The same values if every name is a setting."""
    if not isinstance(values, dict):
        raise UsageProblem(f"{origin}: a map of settings is expected")
    for name in values:
        if name not in _FIELDS:
            raise UsageProblem(f"{origin}: unknown setting {name}{_hint(str(name), _FIELDS)}")
    return values


def _environment_layers(environ: Mapping[str, str], here: Path) -> Iterator[_Layer]:
    logical = {name.upper().replace(".", "_"): name for name in catalog()}
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in SELECTORS or value == "":
            continue
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(TOPIC_PREFIX) and (topic := logical.get(variable.removeprefix(TOPIC_PREFIX))):
            yield _Layer(variable, {"topics": {topic: value}}, here)
        elif name in _FIELDS and name != "topics":
            yield _Layer(variable, {name: value}, here)
        elif not _SERVICE_LINK.search(variable):
            names = [PREFIX + one.upper() for one in _FIELDS] + [TOPIC_PREFIX + one for one in logical]
            raise UsageProblem(f"unknown setting {variable} in the environment{_hint(variable, names)}")


def _hint(wrong: str, known: Any) -> str:
    if wrong.lower().removeprefix("sidechain_") in ("sasl_password", "ssl_key_password"):
        return f"; secrets come from files: {wrong}{'_FILE' if wrong.isupper() else '_file'}"
    close = get_close_matches(wrong, [str(one) for one in known], 1)
    return f"; did you mean {close[0]}?" if close else "; `sidechain config show` lists them"


def _converted(name: str, value: Any, layer: _Layer) -> Any:
    """The value as its setting's type. The value itself is not quoted in an error: it may be a secret misplaced."""
    if name == "topics":
        return _topics(value, layer.origin)
    if name in _PATHS and isinstance(value, str | Path):
        return (layer.folder / Path(value).expanduser()).absolute()
    if value is None and _FIELDS[name].default is None:
        return None
    try:
        return msgspec.convert(value, _FIELDS[name].type, strict=False)
    except msgspec.ValidationError as fault:
        raise UsageProblem(f"{layer.origin}: {name}: {fault}") from fault


def _topics(value: Any, origin: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UsageProblem(f"{origin}: topics: a map from our name to yours is expected, like {{events: my.topic}}")
    for logical, named in value.items():
        if logical not in catalog():
            raise UsageProblem(f"{origin}: topics: unknown topic {logical}{_hint(str(logical), catalog())}")
        if not isinstance(named, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", named):
            raise UsageProblem(f"{origin}: topics.{logical}: Kafka allows letters, digits, dot, dash and underscore")
    return dict(value)
