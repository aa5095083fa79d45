"""What workers show when they are scraped, written down short."""

from sidechain.models.wet.readings import Samples


def samples(**series: float | dict[str, float]) -> Samples:
    """{name: value} or {name: {labels: value}}, labels as `le=0.1` or `cause=slow,stage=wet`."""
    made = {}
    for name, values in series.items():
        every = values if isinstance(values, dict) else {"": values}
        made[f"sidechain_{name}"] = {_labels(text): float(value) for text, value in every.items()}
    return made


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (one.partition("=") for one in text.split(",") if one)
    return tuple(sorted((name, value) for name, _, value in pairs))
