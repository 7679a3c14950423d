import equinox as eqx
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from jraphx_eqx.data import Batch, BatchVector, Data, register_serialization

flatbuffers = pytest.importorskip("flatbuffers")


class Tagged(eqx.Module):
    array: Array
    parts: dict
    tag: str | None = eqx.field(static=True)
    count: int = eqx.field(static=True)


class Untold(eqx.Module):
    array: Array
    shape: tuple = eqx.field(static=True)


register_serialization(Tagged, "tests.Tagged")
register_serialization(Untold, "tests.Untold")

GRAPH = Data(
    jnp.arange(6.0).reshape(3, 2),
    jnp.array([[0, 1], [1, 2]], jnp.int32),
    y=jnp.float32(2.0),
    extras={"node": {"seen": jnp.array([True, False, True])}},
)
BATCH = Batch.from_data_list([GRAPH, GRAPH]).pad(num_nodes=8, num_edges=6, num_graphs=3)


def reload_and_call(function, *args):
    stored = jax.export.export(jax.jit(function))(*args).serialize()
    return jax.export.deserialize(stored).call(*args)


@pytest.mark.parametrize(
    "item",
    [
        GRAPH,
        BATCH,
        BATCH.batch,
        Tagged(jnp.ones(2), {"loss": jnp.zeros(1), "none": None}, "a", 3),
        Tagged(jnp.ones(2), {}, None, -1),
    ],
    ids=["Data", "Batch", "BatchVector", "with a tag", "without a tag"],
)
def test_a_container_goes_in_and_comes_out_of_an_exported_function(item):
    def double(item):
        return jax.tree.map(lambda array: array * 2 if array.dtype == jnp.float32 else array, item)

    assert eqx.tree_equal(reload_and_call(double, item), double(item), typematch=True)


def test_methods_work_inside_an_exported_function():
    def grow(batch):
        return batch.pad(num_nodes=10), BatchVector(batch.batch.index, 5)

    batch, vector = reload_and_call(grow, BATCH)
    np.testing.assert_array_equal(batch.x, np.pad(BATCH.x, ((0, 2), (0, 0))))
    np.testing.assert_array_equal(batch.batch.index, [0, 0, 0, 1, 1, 1, 3, 3, 3, 3])
    assert (batch.num_graphs, vector.num_graphs) == (3, 5)


def test_a_capacity_is_part_of_the_exported_signature():
    exported = jax.export.export(jax.jit(lambda batch: batch.x))(BATCH)
    loaded = jax.export.deserialize(exported.serialize())
    with pytest.raises(ValueError, match="tree"):
        loaded.call(Batch.from_data_list([GRAPH, GRAPH]).pad(8, 6, 4))


def test_a_static_field_that_json_cannot_hold_is_refused():
    item = Untold(jnp.ones(2), (1, 2))
    exported = jax.export.export(jax.jit(lambda item: item.array))(item)
    with pytest.raises(TypeError, match=r"Untold\.shape cannot be serialised.*got tuple"):
        exported.serialize()


def test_registering_twice_is_refused():
    with pytest.raises(ValueError, match="Duplicate serialization registration"):
        register_serialization(Data, "tests.Data")
