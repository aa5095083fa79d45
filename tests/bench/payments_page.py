"""A run of payments as a page for people."""

from collections.abc import Iterator, Mapping
from typing import Any


def page(told: Mapping[str, Any]) -> str:
    """Markdown."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    sent, of = told["sent"], told["machine"]
    yield "# Payments, from the first event to the last proof"
    yield ""
    yield "Everything is as it should be." if told["well"] else "**NOT WELL**: see what is not so below."
    yield ""
    yield f"    {told['command']}" if "command" in told else ""
    yield ""
    yield f"- {of['date']}, {of['cpu']}, {of['cores']} cores, {of['system']}, Python {of['python']}"
    yield (
        f"- {sent['payments']:,} payments, {sent['charges']:,} charged a day later; {sent['labels']:,} labels seven "
        f"days later, {sent['twice']:,} of these twice, {sent['astray']:,} on another partition than they name"
    )
    yield (
        f"- all of it decided in {sent['seconds']:,} s: {sent['payments_per_s']:,} payments/s, "
        f"{sent['inputs_per_s']:,} inputs/s"
    )
    beside = f", beside it {', '.join(told['beside'])}" if told["beside"] else ""
    yield f"- one worker, {told['partitions']} partitions{beside}; broker, sender and worker share the machine"
    yield from (f"- behind {one['behind_payments']:,} payments: {one['what']}" for one in told["changes"])
    hours = ", ".join(f"{name} {value:,}" for name, value in told["hours_to_settlement"].items())
    yield f"- hours of event time from a payment to its settlement: {hours or 'none was settled in time'}"
    used = ", ".join(f"{name} {count:,}" for name, count in told["decisions_that_used"].items())
    yield f"- decisions that used a signal: {used or 'none, nobody sent any'}"
    yield ""
    yield "| check | | said | s |"
    yield "|---|---|---|---|"
    for one in told["checks"]:
        yield f"| {one['check']} | {'ok' if one['ok'] else '**NOT SO**'} | {one['said']} | {one.get('seconds', '')} |"
    for title, name in (("Ranked by score_bp", "ranked"), ("By policy", "by_policy"), ("By week", "by_week")):
        yield ""
        yield f"## {title}"
        yield ""
        yield "| | payments | bad | average precision | AUROC | reviewed or blocked | of them bad |"
        yield "|---|---|---|---|---|---|---|"
        for row, one in told[name].items():
            ratios = [one["average_precision"], one["auroc"]]
            shown = " | ".join("-" if value is None else f"{value:.3f}" for value in ratios)
            counts = f"{one['stopped']:,} | {one['stopped_bad']:,}"
            yield f"| {row} | {one['payments']:,} | {one['bad']:,} | {shown} | {counts} |"
