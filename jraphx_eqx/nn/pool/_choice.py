from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, Int

from ..._decide import decide

# What is kept, or merged; or a function of what the pooling itself would.
Choice = Int[Array, "_"] | Callable[[Any], Any] | None


def settle(
    own: Int[Array, " chosen"], score: Float[Array, " rows"], choice: Choice
) -> Int[Array, " settled"]:
    """What counts: the choice that the caller gives; otherwise that of a harness, or `own`."""
    if choice is None:
        return decide(own, score)
    return choice(own) if callable(choice) else choice
