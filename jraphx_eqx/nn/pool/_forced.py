"""What a harness needs: to see the decisions of a network's poolings, and to make them itself."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Int

from ...data import BatchVector

# What is kept, or merged; or a function of what the pooling itself would.
Choice = Int[Array, "_"] | Callable[[Any], Any] | None


@dataclass
class Decided:
    """A decision of a pooling. Under tracing its arrays are traced.

    **Arguments:**

    - `pool`: the pooling.
    - `own`: what it would choose: the nodes to keep, or for
        [`EdgePooling`][jraphx_eqx.nn.pool.EdgePooling] the edges to merge, padding last.
    - `chosen`: what counts: the same, or what was forced.
    - `score`: what it chooses by, for every node or edge.
    - `batch`: the graph of each node.
    """

    pool: Any
    own: Any
    chosen: Any
    score: Any
    batch: BatchVector


class _Forced:
    def __init__(self, choices):
        self.choices, self.made = choices, []

    def next(self):
        if self.choices is None:
            return None
        number = len(self.made)
        if number >= len(self.choices):
            raise ValueError(
                f"there are {len(self.choices)} choices to force, and a pooling asks for one more"
            )
        return self.choices[number]


_active: ContextVar[_Forced | None] = ContextVar("forced_selections", default=None)


@contextmanager
def forced_selections(choices: Sequence[Choice] | None = None) -> Iterator[list[Decided]]:
    """A context in which the poolings of a network choose what they are told, for harnesses.

    Choices are handed out in the order in which poolings are called, and each is what `select=`
    takes as a choice: an array, or a function of the pooling's own choice; `None` leaves it to the
    pooling. Scores are the pooling's own, with their gradients. A call that is given `select=`
    takes none.

    They are looked at when a function is traced, so the context belongs inside of what is
    compiled, with the choices among its arguments:

    ```python
    @eqx.filter_jit
    def run(network, x, edge_index, batch, choices):
        with forced_selections(choices) as decided:
            out = network(x, edge_index, batch)
        return out, [(one.own, one.score) for one in decided]
    ```

    **Arguments:**

    - `choices`: one for each pooling. By default all are left to the poolings.

    **Yields:** a list of [`Decided`][jraphx_eqx.nn.pool.Decided], one for each call so far.

    **Raises:** `ValueError` if there are fewer choices than calls, or, at the end, more.
    """
    forced = _Forced(choices)
    token = _active.set(forced)
    try:
        yield forced.made
    finally:
        _active.reset(token)
    if choices is not None and len(forced.made) < len(choices):
        raise ValueError(
            f"there are {len(choices)} choices to force, and poolings asked for "
            f"{len(forced.made)} only"
        )


def are_forced() -> bool:
    """Whether this runs inside of [`forced_selections`][jraphx_eqx.nn.pool.forced_selections]."""
    return _active.get() is not None


def settle(pool: Any, own: Any, score: Any, batch: BatchVector, choice: Choice) -> Any:
    """What counts: the choice that a caller gives, or else a harness, or else the pooling."""
    forced = _active.get() if choice is None else None
    if forced is not None:
        choice = forced.next()
    chosen = choice(own) if callable(choice) else own if choice is None else choice
    if forced is not None:
        forced.made.append(Decided(pool, own, chosen, score, batch))
    return chosen
