import jax.numpy as jnp
import numpy as np

from jraphx_eqx.nn.pool import global_mean_pool
from jraphx_eqx.parity import Divergence

from .._operator import Operator, edits, pick
from ..families import readout, segment
from ..families.readout import SUMS, nothing, readout_made, readout_spec, readout_variant


def _pyg():
    from torch_geometric import nn

    return nn.global_mean_pool


def _mean_of_nothing():
    import torch

    theirs = _pyg()(torch.zeros(0, 2), None).tolist()
    return np.isnan(theirs).tolist(), np.isnan(global_mean_pool(jnp.zeros((0, 2)))).tolist()


MEAN_OF_NOTHING = Divergence(
    "mean-of-nothing",
    condition="no nodes and no batch vector",
    pyg=[[True, True]],
    ours=[[False, False]],
    reason="PyG gives NaN here, and 0 for an empty graph with a batch vector. Here it is 0 in "
    "both cases.",
    link="https://pytorch-geometric.readthedocs.io/en/latest/modules/nn.html#pooling-layers",
    probe=_mean_of_nothing,
    covers=lambda case, config, lane, tensor: nothing(case, config),
)


OPERATOR = Operator(
    global_mean_pool,
    # XLA multiplies by the reciprocal, which is rounded.
    spec=readout_spec(global_mean_pool, _pyg, SUMS, exact=lambda config: ()),
    faults=(
        *pick(
            segment.FAULTS,
            "mean over all rows",
            "mean of nothing is NaN",
            "eps in the count of a mean",
            "mean in float32",
            "padding counts to the last graph",
            "rows of 64 are scaled",
            "rows of 64 are masked where they are real",
            "one graph more than there are",
        ),
        *pick(
            readout.FAULTS,
            "sets are nodes",
            "features are detached",
        ),
        *edits(
            "nn.pool._global:_mean",
            (
                "mean by one node more",
                "jnp.mean(x, axis, keepdims=True)",
                "jnp.sum(x, axis, keepdims=True) / (x.shape[axis] + 1)",
                "batch=None",
            ),
        ),
        *edits(
            "ops._segment:segment_mean",
            (
                "mean of half precision in float32",
                "mean.astype(data.dtype) if inexact else mean",
                "mean",
            ),
        ),
    ),
    divergences=(MEAN_OF_NOTHING,),
    variants=(readout_variant(global_mean_pool, minor=True),),
    made=(
        readout_made(global_mean_pool, {"sort": 0, "scatter-add": 2, "gather": 0}, (1.22, 2.21)),
    ),
    cost=30,
)
