import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..data import BatchVector
from ..data._batch_vector import most_nodes
from ._dtype import wide_dtype
from ._gather import gather, positions
from ._order import places_in_graph
from ._paths import capped_sum
from ._topk import first_true


def augment_edges_by_graph(
    edge_index: Int[Array, "2 edges"],
    edge_weight: Float[Array, " edges"],
    node_index: Int[Array, " pooled_nodes"],
    batch: BatchVector,
    pooled_batch: BatchVector,
) -> tuple[Int[Array, "2 all_edges"], Float[Array, " all_edges"], Int[Array, ""]]:
    """The same as [`augment_edges`][jraphx_eqx.ops.augment_edges], by a table for each graph.

    A table has a row and a column for each node that a graph can have, so its size does not depend
    on the edges. For many graphs of few nodes that is far less than all paths that there could be.

    **Arguments:**

    - `edge_index`, `edge_weight`: the edges, each between two nodes of one graph; padding has an
        end past the last node. Weights of equal edges are added. A weight that is not finite
        spoils all weights of its graph.
    - `node_index`: the nodes between which edges are wanted, each at most once. Entries past the
        last node are padding.
    - `batch`, `pooled_batch`: the graph of each node, and of each entry of `node_index`. No graph
        may have more nodes than their `max_count`; without it one graph may have all.

    **Returns:** `(edge_index, edge_weight, total)` as there. There is room for an edge from each
    entry of `node_index` to all others of its graph.
    """
    most = most_nodes(pooled_batch)
    places, ends = _places(node_index, batch, pooled_batch)
    source, target = edge_index
    real = (source != target) & jnp.all(edge_index < batch.index.shape[0], axis=0)
    graph = jnp.where(real, gather(batch.index, source), batch.num_graphs)
    begin, end = (gather(ends, node, fill_value=most) for node in edge_index)
    tables = (batch.num_graphs, most, most_nodes(batch))

    def steps(values):
        """From nodes of `node_index`, to them, and from them to them."""
        # What is past the end is left out: padding by its graph, other nodes by their place.
        empty = jnp.zeros(tables, values.dtype)
        out = empty.at[graph, begin, gather(places, target)].add(values, mode="drop")
        back = empty.at[graph, end, gather(places, source)].add(values, mode="drop")
        direct = jnp.zeros((*tables[:2], most), values.dtype)
        return out, back, direct.at[graph, begin, end].add(values, mode="drop")

    out, back, direct = (jnp.minimum(table, 1) for table in steps(jnp.ones(real.shape, jnp.int32)))
    total = capped_sum(jnp.sum(out, axis=1) * jnp.sum(back, axis=1))
    joined = _product(out.astype(jnp.float32), back.astype(jnp.float32)) > 0
    joined = (joined | (direct > 0)) & ~jnp.eye(most, dtype=bool)[None]
    out, back, direct = steps(edge_weight)
    return *_listed(joined, _product(out, back) + 2 * direct, pooled_batch, edge_index.dtype), total


def _places(node_index, batch, pooled_batch):
    """Of each node its place in its graph, and that among the pooled ones, or past their end."""
    num_nodes = batch.index.shape[0]
    label = positions(node_index, num_nodes, jnp.int32)
    ends = gather(places_in_graph(pooled_batch), label, fill_value=most_nodes(pooled_batch))
    return places_in_graph(batch), ends


def _product(out, back):
    """Of each graph the sums over the node between, not rounded as a GPU would by default."""
    wide = wide_dtype(out.dtype)
    highest = jax.lax.Precision.HIGHEST
    product = jnp.einsum("gik,gjk->gij", out, back, precision=highest, preferred_element_type=wide)
    return product.astype(out.dtype)


def _listed(joined, weight, pooled_batch, dtype):
    """The entries of the tables that are `joined` as edges, by source and then by target."""
    num_graphs, most, _ = joined.shape
    num_kept = pooled_batch.index.shape[0]
    place = pooled_batch.index * most + places_in_graph(pooled_batch)
    place = jnp.where(pooled_batch.node_mask, place, num_graphs * most)
    # From here on a row for each pooled node, in their order.
    label = jnp.full(num_graphs * most, num_kept, dtype)
    label = label.at[place].set(jnp.arange(num_kept, dtype=dtype), mode="drop")
    label = gather(label.reshape(num_graphs, most), pooled_batch.index)
    joined, weight = (
        gather(table.reshape(num_graphs * most, most), place) for table in (joined, weight)
    )
    entry, _ = first_true(joined.reshape(-1), num_kept * max(most - 1, 0))
    source = (entry // max(most, 1)).astype(dtype)
    target = gather(label.reshape(-1), entry, fill_value=num_kept)
    return jnp.stack([source, target]), gather(weight.reshape(-1), entry)
