"""What is decided and what is learned: pure, no I/O, no Kafka, no clock.

`Decider` is the way in for a notebook, a back-test or the unit test of a policy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidechain.models.decider import Decider

__all__ = ["Decider"]


def __getattr__(name: str) -> Any:
    """Load `Decider` on first use: importing a part of the models must not load all of them."""
    if name == "Decider":
        from sidechain.models.decider import Decider

        return Decider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
