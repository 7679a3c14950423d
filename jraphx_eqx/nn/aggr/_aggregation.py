import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from ...data import BatchVector, is_traced, resolve_batch
from ...data._batch_vector import bounded_batch, largest_count, most_nodes
from ...ops import error_if, to_dense_batch
from .._check import check_array
from .._entry import one_program, takes_numpy

# Rows that are made of a traced batch of which nothing is known.
_FREE = 2**18


class AbstractAggregation(eqx.Module):
    """Makes one row of all rows that belong together.

    One object is a readout of graphs, by their batch vector; the `aggr=` of a convolution, by the
    targets of edges; and the reduction of clusters, by
    [`reduce`][jraphx_eqx.nn.pool.AbstractSelection] of a selection.

    `takes_rows` says whether the rows of each graph are laid out side by side, for which there must
    be room: `BatchVector.max_count`, or `max_rows`.
    """

    @property
    def takes_rows(self) -> bool:
        """Whether it needs room for the rows of each graph."""
        return False

    @takes_numpy
    def __call__(
        self,
        x: Num[Array, "rows ..."],
        batch: BatchVector | Int[Array, " rows"] | None = None,
        size: int | None = None,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Num[Array, "segments ..."]:
        """**Arguments:**

        - `x`: the rows, shape `(rows, features)`. Those of padding may hold anything.
        - `batch`: the graph, or whatever else it belongs to, of each row, in any order, as a
            [`BatchVector`][jraphx_eqx.data.BatchVector], which may hold padding, or as a bare
            array, which holds none. `None` is one graph.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `max_rows`: no graph has more rows. Only for those that lay them out side by side. Some of
            these count what they pad with, as all of PyG's do: with `max_rows` they return PyG's
            numbers for the same `max_num_elements`, and without it such as do not depend on the
            other graphs of the batch.
        - `key`: for dropout.

        **Returns:** one row for each graph.

        **Raises:** `ValueError` for arguments that do not fit each other or the layer; at run time,
        or at once where values are known, for a graph of more than `max_rows` rows.
        """
        check_array(x, "x")
        if x.ndim == 0:
            raise ValueError("x must have at least one axis, got shape ()")
        if max_rows is not None and max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {max_rows}")
        batch = resolve_batch(batch, x.shape[0], size)
        if self.takes_rows and max_rows is None and batch.max_count is None:
            batch = _counted(batch)
        return _aggregate(self, x, batch, max_rows, key)

    @abc.abstractmethod
    def aggregate(
        self,
        x: Num[Array, "rows ..."],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Num[Array, "segments ..."]:
        """What a subclass writes: the call, after its arguments were checked."""


@one_program
def _aggregate(
    aggr: AbstractAggregation,
    x: Num[Array, "rows ..."],
    batch: BatchVector,
    max_rows: int | None,
    key: PRNGKeyArray | None,
) -> Num[Array, "segments ..."]:
    return aggr.aggregate(x, batch, max_rows=max_rows, key=key)


def rows_by_graph(
    x: Float[Array, "nodes features"], batch: BatchVector, max_rows: int | None = None
) -> tuple[Float[Array, "graphs rows features"], Bool[Array, "graphs rows"]]:
    """The rows of each graph side by side, zeros after them, and which of them are real.

    **Raises:** `ValueError` where there would be more than 2**18 rows for a batch of which nothing
    is known; at run time where a graph has more than `max_rows` rows.
    """
    most = most_nodes(batch)
    room = most if max_rows is None else max_rows
    if max_rows is None and batch.max_count is None and batch.num_graphs * most > _FREE:
        raise ValueError(
            f"max_rows must be given for a traced batch vector of {most} rows in "
            f"{batch.num_graphs} graphs: each graph could have them all. Or pass a BatchVector "
            "with max_count, as Batch.from_data_list makes it"
        )
    if room < most:
        exceeds = jnp.max(batch.counts, initial=0) > room
        message = f"batch holds a graph of more than {room} rows; raise max_rows"
        x = error_if(x, exceeds, message)
    return to_dense_batch(x, batch, max_nodes=room)


def check_matrix(x: Array) -> None:
    """Raises unless `x` is `(rows, features)`."""
    if x.ndim != 2:
        raise ValueError(f"x must have shape (rows, features), got {x.shape}")


def _counted(batch):
    if is_traced(batch.index):
        return batch
    return bounded_batch(batch.index, batch.num_graphs, largest_count(batch))
