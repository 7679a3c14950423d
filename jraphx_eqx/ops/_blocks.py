from collections.abc import Callable
from typing import Any

import jax


class Blocks:
    """Rows that are made a block at a time, and made again in the backward pass instead of kept.

    This pays off on CPUs only, where a block stays in the cache; other backends want one large
    program.

    **Arguments:**

    - `make_rows`: makes a row of each entry of the operands, independently of the others.
    - `operands`: a tree of arrays with `num_rows` entries each.
    - `size`: the number of rows of a block.
    """

    def __init__(self, make_rows: Callable[[Any], Any], operands: Any, num_rows: int, size: int):
        self.make_rows, self.operands, self.size = make_rows, operands, size
        self.number = num_rows // size

    @property
    def are_worth_it(self) -> bool:
        """Whether there are several blocks, and the backend gains from them."""
        return self.number > 1 and jax.default_backend() == "cpu"

    def rows(self, number: Any) -> Any:
        """The rows of a block."""

        # Without `checkpoint` a scan would stack them all for the backward pass.
        @jax.checkpoint
        def made(operands, number):
            return self.make_rows(jax.tree.map(lambda array: self.part(array, number), operands))

        return made(self.operands, number)

    def part(self, array: Any, number: Any) -> Any:
        """The entries of a block."""
        return jax.lax.dynamic_slice_in_dim(array, number * self.size, self.size)

    def rest(self) -> Any:
        """The rows after the last whole block."""
        return self.make_rows(jax.tree.map(self.rest_of, self.operands))

    def rest_of(self, array: Any) -> Any:
        """The entries after the last whole block."""
        return array[self.number * self.size :]
