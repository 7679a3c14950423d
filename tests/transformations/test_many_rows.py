"""Programs of many rows, which XLA computes by other code than small ones, in several threads.

On the CPU jax 0.10.2 leaves out the last rows of a batch of matrix-vector products that are summed
up (jax-ml/jax#39103). None of our operators has that form: these tests pass with it too.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    DISTINCT,
    EDGE_FEATURES,
    FEATURES,
    Inputs,
    Run,
    Variant,
    assert_close,
    differentiate,
    named,
    run,
)

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn._entry import op_by_op

NODES = 11


def rings(num_graphs: int) -> Inputs:
    """Rings of 11 nodes with random features."""
    rng = np.random.default_rng(0)
    num_nodes = NODES * num_graphs
    nodes = np.arange(num_nodes, dtype=np.int32)
    after = np.where(nodes % NODES == NODES - 1, nodes - NODES + 1, nodes + 1)
    return Inputs(
        jnp.asarray(rng.normal(size=(num_nodes, FEATURES))),
        jnp.asarray(np.stack([nodes, after]), jnp.int32),
        jnp.asarray(rng.uniform(0.5, 1.5, size=(num_nodes, EDGE_FEATURES))),
        BatchVector(jnp.asarray(nodes // NODES), num_graphs),
    )


# A U-Net has room for the square of its edges. It is made of the others, and other poolings than
# those that keep nodes of the same sums.
CHECKED = [op for op in DISTINCT if op.kind != "pool" and op.name != "unet"]
# XLA takes long for them, and the others have their parts.
LONG = ("sag_gat", "topk_min_score")


@pytest.mark.parametrize(**named(CHECKED, LONG))
def test_jit_equals_eager_in_values_and_gradients(operator: Variant, x64):
    inputs = rings(1500)
    assert inputs.x.shape[0] > 2**14
    module = operator.module(np.float64)
    with op_by_op():
        eager = differentiate(operator, module, inputs)
    assert_close(_means(run(operator, inputs)), _means(eager))


def _means(run: Run) -> Run:
    """Sums over all rows divided by their number: terms of some cancel."""
    rows = run.x.shape[0]
    means = jax.tree.map(lambda leaf: leaf / rows, (run.loss, run.parameters))
    return run._replace(loss=means[0], parameters=means[1])
