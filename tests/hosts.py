"""Hosts that ask a web server for pages: how the policies of tests with real workers begin."""

FIELDS = """\
  fields:
    id: {type: string, role: id}
    host: {type: string, role: key}
    at: {type: int, role: time}
    method: {type: string}
    path: {type: string}
    status: {type: int}
    bytes: {type: int}
"""


def hosts(rest: str, version: int = 1, *, stake: str | None = None) -> str:
    """A policy that goes on so; it takes the place of the pack `web`. `stake`: the field that says what is at stake."""
    at_stake = "" if stake is None else f"  stake: {stake}\n"
    return f"pack: web\nversion: {version}\nevent:\n{at_stake}{FIELDS}{rest}"


def few_errors(version: int, limit: int, features: str = "") -> str:
    """Whoever fails more often than `limit` in five minutes is reviewed; `features`: further ones."""
    return hosts(
        f"""\
features:
  - {{name: errors_5m, aggregate: count, window: 5m, panes: 10, where: event.status >= 400}}
{features}rules:
  - {{id: many_errors, when: features.errors_5m >= {limit}, then: review, points: 4000, reason: Many errors.}}
""",
        version,
        stake="bytes",
    )
