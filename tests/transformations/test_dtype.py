import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DISTINCT, KEEPING, Variant, named, random_inputs

from jraphx_eqx.data import BatchVector

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(**named(DISTINCT))
def test_half_precision_goes_in_and_comes_out(operator: Variant, dtype):
    inputs = random_inputs(dtype=dtype)
    module = operator.module(dtype)
    out = jax.jit(lambda inputs: operator(module, inputs))(inputs)
    floats = jax.tree.leaves(eqx.filter(out, eqx.is_inexact_array))
    assert floats and all(leaf.dtype == dtype for leaf in floats)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in floats)


@pytest.mark.parametrize("edges, graphs", [("int64", "int32"), ("int32", "int64")])
@pytest.mark.parametrize(**named([pool for pool in KEEPING if not pool.minor]))
def test_edges_and_batch_vectors_keep_their_own_width(operator: Variant, edges, graphs, x64):
    inputs = random_inputs()
    batch = BatchVector(inputs.batch.index.astype(graphs), inputs.batch.num_graphs)
    inputs = inputs._replace(edge_index=inputs.edge_index.astype(edges), batch=batch)
    module = operator.module()
    x, edge_index, _, batch, perm = jax.eval_shape(
        lambda inputs: tuple(operator(module, inputs)), inputs
    )
    assert edge_index.dtype == edges and batch.index.dtype == graphs
    assert perm.dtype == "int32" and x.dtype == "float32"
