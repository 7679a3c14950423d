from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int, Shaped

from .._number import python_sizes
from ._batch_vector import is_traced
from ._fields import as_arrays, as_edge_index, check_rows, columns, normalise_extras
from ._problems import Problem, raise_first

if TYPE_CHECKING:
    from ._batch import Batch


class Data(eqx.Module):
    """One graph, without padding.

    Arrays may be NumPy or JAX and are kept as they are, except that 8 and 16 bit indices are
    widened to 32 bits, and Python scalars become arrays.

    In PyTorch Geometric `y` may hold labels of nodes, and lists of graphs concatenate it. Here `y`
    belongs to the graph, and a [`Batch`][jraphx_eqx.data.Batch] stacks it; labels of nodes go to
    `extras["node"]`.
    """

    x: Shaped[Array | np.ndarray, "nodes *features"] | None
    edge_index: Int[Array | np.ndarray, "2 edges"]
    edge_attr: Shaped[Array | np.ndarray, "edges *edge_features"] | None
    y: Shaped[Array | np.ndarray, "*targets"] | None
    pos: Shaped[Array | np.ndarray, "nodes *dimensions"] | None
    extras: dict[str, dict[str, Array | np.ndarray]]
    num_nodes: int = eqx.field(static=True)

    @python_sizes
    def __init__(
        self,
        x: Shaped[Array | np.ndarray, "nodes *features"] | None = None,
        edge_index: Int[Array | np.ndarray, "2 edges"] | None = None,
        edge_attr: Shaped[Array | np.ndarray, "_edges *edge_features"] | None = None,
        y: ArrayLike | None = None,
        pos: Shaped[Array | np.ndarray, "_nodes *dimensions"] | None = None,
        *,
        num_nodes: int | None = None,
        extras: Mapping[str, Any] | None = None,
    ):
        """**Arguments:**

        - `x`: features of the nodes, any dtype and rank.
        - `edge_index`: sources (row 0) and targets (row 1) of the edges, in `[0, num_nodes)`.
            Must be given.
        - `edge_attr`: features of the edges, any rank.
        - `y`: what the graph is labelled with, a scalar or an array of any shape.
        - `pos`: positions of the nodes.
        - `num_nodes`: the number of nodes. Needed only if neither `x`, `pos` nor an extra of the
            nodes determines it.
        - `extras`: further arrays by level and name, for instance
            `{"node": {"mask": mask}, "edge": {}, "graph": {"weight": 0.5}}`. Those of the levels
            `"node"` and `"edge"` have one row per node or edge; those of `"graph"` have any shape.

        **Raises:** `ValueError` if `edge_index` is missing, is not of shape `(2, edges)`, or
        holds an index outside `[0, num_nodes)` (not looked at under tracing); if row counts
        contradict each other; if nothing determines the number of nodes; for an unknown level.
        """
        self.x, self.edge_attr, self.y, self.pos = as_arrays(x, edge_attr, y, pos)
        self.edge_index = as_edge_index(edge_index)
        self.extras = normalise_extras(extras)
        self.num_nodes = _count_nodes(self) if num_nodes is None else num_nodes

    def __check_init__(self):
        if self.num_nodes < 0:
            raise ValueError(f"num_nodes must not be negative, got {self.num_nodes}")
        check_rows(self, node=(self.num_nodes, "nodes"), edge=(self.num_edges, "edges"))
        if is_traced(self.edge_index):
            return
        edge_index = np.asarray(self.edge_index)
        bad = (edge_index < 0) | (edge_index >= self.num_nodes)
        if bad.any():
            rule = (
                f"edge_index must hold node indices in [0, {self.num_nodes}) "
                "(padding is made by `pad`)"
            )
            raise_first([Problem(rule, bad, edge_index, "edge")])

    @property
    def num_edges(self) -> int:
        """The number of edges."""
        return self.edge_index.shape[-1]

    @python_sizes
    def pad(self, num_nodes: int | None = None, num_edges: int | None = None) -> "Batch":
        """A batch of this one graph, padded. Padding needs a batch vector, hence the `Batch`.

        See [`Batch.pad`][jraphx_eqx.data.Batch.pad].
        """
        from ._batch import Batch

        return Batch.from_data_list([self]).pad(num_nodes=num_nodes, num_edges=num_edges)


def _count_nodes(data: Data) -> int:
    for path, array in columns(data).items():
        if path[0] == "node" and array.ndim > 0:
            return array.shape[0]
    raise ValueError(
        "num_nodes must be given, because neither x, pos nor an extra of the nodes determines it"
    )
