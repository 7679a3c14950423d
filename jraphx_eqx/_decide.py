"""Discrete choices that can be watched and replaced from outside.

An operator that chooses rows by their scores hands its choice to `decide` and goes on with what
comes back. That is its own choice, except inside of `deciding`, by which a harness watches all the
choices of a network, in the order of the calls, and puts others in their place.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jaxtyping import Array, Float, Int

Decider = Callable[[Int[Array, " chosen"], Float[Array, " rows"]], Int[Array, " chosen"]]

_DECIDER: ContextVar[Decider | None] = ContextVar("decider", default=None)


def decide(own: Int[Array, " chosen"], scores: Float[Array, " rows"]) -> Int[Array, " kept"]:
    """The rows to choose: `own`, or what the decider of the surrounding `deciding` puts in place.

    **Arguments:**

    - `own`: the rows that the operator would choose. Entries that are the number of rows are
        padding.
    - `scores`: what it ranked the rows by.
    """
    decider = _DECIDER.get()
    return own if decider is None else decider(own, scores)


def is_deciding() -> bool:
    """Whether choices are watched. Then layers must not run programs that were compiled before."""
    return _DECIDER.get() is not None


@contextmanager
def deciding(decider: Decider) -> Iterator[None]:
    """A context in which `decider(own, scores)` has the last word on every choice.

    It is consulted while JAX traces, so a function that was traced outside, with the same shapes,
    is not asked again.
    """
    token = _DECIDER.set(decider)
    try:
        yield
    finally:
        _DECIDER.reset(token)
