"""What a trial asks people for: a model in a place of the wet side, with its card and its numbers as evidence."""

from hashlib import sha256
from typing import Final

from sidechain.models.proposal import Draft, Evidence, ModelFile
from sidechain.models.wet.card import Card, encode
from sidechain.models.wet.trial import RULES

AUTHOR: Final = "trainer"
OPEN_MS: Final = 14 * 86_400_000


def draft_of(card: Card, version: int, pack: str, now_ms: int, author: str = AUTHOR, open_ms: int = OPEN_MS) -> Draft:
    """The proposal. Its evidence is the card's trial, whole: a card may be lost, what people agreed to may not."""
    trial = card.trial
    before, after = trial.before.average_precision, trial.after.average_precision
    figures = {
        "card": sha256(encode(card)).hexdigest(),
        "beside": trial.beside,
        "before": trial.before,
        "after": trial.after,
        "weeks": trial.weeks,
        "segments": card.segments,
        "data": card.data,
    }
    gain = f"average precision {after or 0:.3f} against {before or 0:.3f} of {trial.beside}"
    words = (
        f"{card.model} becomes champion" + ("" if trial.beside == RULES else f" instead of {trial.beside}"),
        f"it learned from {card.data.rows:,} outcomes, {card.data.bad:,} of them bad",
    )
    return Draft(
        pack=pack,
        change=ModelFile(
            model=card.model,
            slot="champion",
            replaces=card.fit.parent,
            version=version,
            digest=card.digest,
            card=str(figures["card"]),
            labels=card.data.rows,
            until=card.data.until,
            words=words,
        ),
        author=author,
        why=f"On {trial.after.rows:,} decisions it had not seen it ranked better: {gain}.",
        evidence=(Evidence(kind="trial", policy=card.model, verdict=trial.verdict, why=trial.why, figures=figures),),
        created=now_ms,
        expires=now_ms + open_ms,
    )
