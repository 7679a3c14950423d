import functools

import jax.numpy as jnp

from jraphx_eqx.nn.pool import global_max_pool
from jraphx_eqx.parity import Divergence

from .._operator import Operator, edits, pick
from ..families import readout, segment
from ..families.readout import (
    EXTREMES,
    INTEGERS,
    exact,
    nothing,
    readout_made,
    readout_spec,
    readout_variant,
)
from ..families.segment import HIDDEN_ZERO


def _pyg():
    from torch_geometric import nn

    return nn.global_max_pool


def _max_of_nothing():
    import torch

    try:
        theirs = _pyg()(torch.zeros(0, 2), None).tolist()
    except IndexError:
        theirs = "IndexError"
    return theirs, global_max_pool(jnp.zeros((0, 2))).tolist()


EXTREMUM_OF_NOTHING = Divergence(
    "extremum-of-nothing",
    condition="no nodes and no batch vector",
    pyg="IndexError",
    ours=[[0.0, 0.0]],
    reason="PyG raises an error here, and gives 0 for an empty graph with a batch vector. Here "
    "it is 0 in both cases.",
    link="https://pytorch-geometric.readthedocs.io/en/latest/modules/nn.html#pooling-layers",
    probe=_max_of_nothing,
    covers=lambda case, config, lane, tensor: nothing(case, config),
)


OPERATOR = Operator(
    global_max_pool,
    spec=readout_spec(
        global_max_pool, _pyg, EXTREMES + INTEGERS, functools.partial(exact, shared=True)
    ),
    faults=(
        *pick(
            segment.FAULTS,
            "padding counts to the last graph",
            "maximum of nothing is infinite",
            "maximum of nothing is 1",
            "maximum starts from 0",
            "every tie gets all of the gradient",
            "gradient to all rows",
            "share of ties in float16",
            "maximum is a minimum",
            "maximum is detached",
            "one graph more than there are",
        ),
        *pick(
            readout.FAULTS,
            "sets stay first",
            "sets keep an axis of one graph",
            "last of several largest",
        ),
        *edits(
            "nn.pool._global:global_max_pool",
            (
                "largest of one graph share the gradient",
                "_first(x, jnp.argmax, axis)",
                "jnp.max(x, axis, keepdims=True)",
                "batch=None",
            ),
        ),
    ),
    divergences=(HIDDEN_ZERO, EXTREMUM_OF_NOTHING),
    variants=(readout_variant(global_max_pool),),
    made=(
        readout_made(
            global_max_pool,
            {"sort": 0, "scatter-max": 1, "scatter-add": 1, "gather": 0},
            (1.22, 6.14),
        ),
    ),
    cost=30,
)
