"""Layers on the devices of a mesh: large convolutions, lower capacities, and explicit axes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    KEEPING,
    Variant,
    assert_close,
    assert_same,
    entry,
    named,
    random_inputs,
    stacked,
)
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import GATConv, GCNConv, SAGEConv
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, global_mean_pool
from jraphx_eqx.ops import count_at_most, error_if

pytestmark = pytest.mark.usefixtures("quick_compile")
NUM_DEVICES = int(os.environ.get("NUM_CPU_DEVICES", "1"))
KEY = jax.random.key(0)
FEATURES, NODES, EDGES = 32, 100, 16_384
CONVS = {
    "gcn": GCNConv(FEATURES, FEATURES, key=KEY),
    "gat": GATConv(FEATURES, FEATURES, key=KEY),
    "sage max": SAGEConv(FEATURES, FEATURES, aggr="max", key=KEY),
    "sage mean": SAGEConv(FEATURES, FEATURES, key=KEY),
}
BATCH = BatchVector(np.repeat(np.arange(4, dtype=np.int32), 25), 4)


def arrays(num_edges=90):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_DEVICES, NODES, FEATURES)).astype(np.float32)
    edge_index = rng.integers(0, NODES, (NUM_DEVICES, 2, num_edges)).astype(np.int32)
    return jnp.asarray(x), jnp.asarray(edge_index)


def on_each_device(function, *batches):
    mesh = jax.make_mesh((NUM_DEVICES,), ("d",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec("d")

    def one(*parts):
        out = function(*jax.tree.map(lambda array: array[0], parts))
        return jax.tree.map(lambda array: array[None], out)

    return jax.jit(jax.shard_map(one, mesh=mesh, in_specs=spec, out_specs=spec))(*batches)


def assert_equal_to_one_device(function, *batches):
    found = on_each_device(function, *batches)
    for device in range(NUM_DEVICES):
        expected = jax.jit(function)(*(array[device] for array in batches))
        assert_close(entry(device, found), expected)


@pytest.mark.parametrize("name", CONVS)
def test_large_convolutions_and_their_gradients_in_shard_map(name):
    """So many edges are added block by block: a loop, of whose sum the type must not change."""
    conv = CONVS[name]

    def both(x, edge_index):
        return jax.value_and_grad(lambda x: jnp.sum(jnp.sin(conv(x, edge_index))) / EDGES)(x)

    assert_equal_to_one_device(both, *arrays(EDGES))


@pytest.mark.parametrize("budget", [{"max_nodes": 53}, {"max_edges": 60}])
@pytest.mark.parametrize("cls", [TopKPooling, SAGPooling])
def test_lower_capacities_in_shard_map(cls, budget):
    pool = cls(FEATURES, key=KEY)
    assert_equal_to_one_device(lambda x, e: pool(x, e, batch=BATCH, **budget), *arrays())


@pytest.mark.parametrize("budget", ["max_nodes", "max_edges"])
def test_what_does_not_fit_on_one_device_is_an_error(budget):
    pool = TopKPooling(FEATURES, key=KEY)
    with pytest.raises(Exception, match=f"raise {budget}"):
        jax.block_until_ready(
            on_each_device(lambda x, e: pool(x, e, batch=BATCH, **{budget: 1}), *arrays())
        )


@pytest.mark.parametrize(**named([pool for pool in KEEPING if not pool.minor]))
def test_vmap_over_what_lies_on_a_mesh_with_explicit_axes(operator: Variant):
    batches = stacked([random_inputs(seed) for seed in range(2 * NUM_DEVICES)])
    call = jax.jit(jax.vmap(lambda inputs: operator(operator.module(), inputs)))
    expected = call(batches)
    mesh = jax.make_mesh((NUM_DEVICES,), ("d",))
    assert mesh.axis_types == (AxisType.Explicit,)
    with jax.set_mesh(mesh):
        there = jax.device_put(batches, NamedSharding(mesh, PartitionSpec("d")))
        found = jax.device_get(call(there))
    assert_close(found, expected)


def test_readouts_and_convolutions_on_explicit_axes():
    x, edge_index = arrays()
    conv = CONVS["gcn"]
    call = jax.jit(jax.vmap(lambda x, e: global_mean_pool(conv(x, e), BATCH)))
    expected = call(x, edge_index)
    mesh = jax.make_mesh((NUM_DEVICES,), ("d",))
    with jax.set_mesh(mesh):
        there = jax.device_put((x, edge_index), NamedSharding(mesh, PartitionSpec("d")))
        assert_close(jax.device_get(call(*there)), expected)


@pytest.mark.parametrize("ascending", [[], [2], [0, 0, 3], [1, 2, 2, 7], list(range(9))])
def test_bisection_counts_what_is_at_most_a_value(ascending):
    ascending, value = np.array(ascending, np.int32), np.arange(-1, 10, dtype=np.int32)
    found = count_at_most(jnp.asarray(ascending), jnp.asarray(value))
    assert_same(found, np.searchsorted(ascending, value, side="right").astype(np.int32))


def test_an_error_is_raised_where_it_is_true_and_under_vmap_if_any_is():
    def checked(x):
        return error_if((x, x.astype(jnp.int32)), jnp.any(x < 0), "negative")

    fine, bad = jnp.array([[0.0, 1.5], [2.0, jnp.nan]]), jnp.array([[0.0, 1.5], [2.0, -1.0]])
    for call in (jax.jit(checked), jax.jit(jax.vmap(checked)), checked):
        assert_same(call(fine)[0], fine)
        with pytest.raises(Exception, match="negative"):
            jax.block_until_ready(call(bad))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(checked(x)[0] ** 2)))(fine[0])
    assert_same(gradient, 2 * fine[0])


@pytest.mark.skipif(NUM_DEVICES > 1, reason="this is the process that the test starts")
def test_all_of_this_on_two_devices():
    # The number of devices is fixed when JAX starts.
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    some = "gcn or max_nodes or max_edges or one_device or explicit_axes and (topk or sag_gat)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", some]
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout + child.stderr
    assert "failed" not in child.stdout and "skipped" not in child.stdout
