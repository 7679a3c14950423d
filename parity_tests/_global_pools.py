import functools

import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import pool
from jraphx_eqx.parity import Config, Rows, Spec

from ._inputs import INPUT_CLASSES, ROWS, pad_with
from ._properties import keeps_dtypes

PLAIN, COLUMN, SETS = {"rank": 2}, {"rank": 1}, {"rank": 3}
BARE, WIDE = {"rank": 2, "batch": "array"}, {"rank": 2, "wide": True}
WHOLE, WHOLE_COLUMN, WHOLE_SETS = ({**inputs, "batch": None} for inputs in (PLAIN, COLUMN, SETS))


def _grid(*inputs):
    return tuple(Config({}, one) for one in inputs)


# In orders in which unsorted batch vectors meet a batch, and ties one, whose gradient they share.
EXTREMES = _grid(PLAIN, COLUMN, SETS, BARE, WHOLE, WHOLE_COLUMN, WHOLE_SETS)
SUMS = _grid(PLAIN, COLUMN, SETS, WHOLE, BARE, WHOLE_COLUMN, WIDE, WHOLE_SETS)
INTEGERS = (
    Config({}, {"rank": 2, "integers": True}),
    Config({}, {"rank": 1, "integers": True, "batch": None}),
)


def _inputs(case, *, rank, batch="padded", integers=False, wide=False):
    x = case["x"]
    # Rows of 64 float32 are made in a way of their own.
    x = np.resize(x.T, (64, len(x))).T.copy() if wide else x
    x = np.round(8 * x).astype(np.int64) if integers else x
    x = x[:, 0] if rank == 1 else x
    arrays = {name: case[name] for name in ("edge_index", "batch", "num_graphs")}
    arrays.update({"x": x, "batched": batch == "padded", "bare": batch == "array", "rank": rank})
    if batch is None:
        arrays.update({"batch": np.zeros_like(case["batch"]), "num_graphs": 1})
    return arrays


def _features(inputs, stack):
    """For rank 3, two feature sets of the same nodes."""
    x = inputs["x"]
    return stack([x, -x]) if inputs["rank"] == 3 else x


def _call_pyg(reduction, inputs):
    import torch

    given = inputs["batched"] or inputs["bare"]
    x = _features(inputs, torch.stack)
    if not given:
        return {"x": reduction(x, None)}
    return {"x": reduction(x, inputs["batch"], inputs["num_graphs"])}


def _call(reduction, inputs):
    import jax.numpy as jnp

    x = _features(inputs, jnp.stack)
    if inputs["batched"]:
        return {"x": reduction(x, BatchVector(inputs["batch"], inputs["num_graphs"]))}
    if inputs["bare"]:
        return {"x": reduction(x, inputs["batch"], inputs["num_graphs"])}
    return {"x": reduction(x)}


def _pad(inputs, case):
    return {**pad_with(np.nan)(inputs, case), "real_graphs": inputs["num_graphs"]}


def _real(inputs, outputs):
    graphs = slice(inputs["real_graphs"])
    if not inputs["batched"]:
        return {}
    return {"x": np.s_[:, graphs] if inputs["rank"] == 3 else graphs}


def _blocks(inputs, outputs):
    rank, graphs = inputs["rank"], np.arange(inputs["num_graphs"])
    if not (inputs["batched"] or inputs["bare"]):
        return {}
    return {"d.x": inputs["batch"], "out.x": graphs[None, :, None] if rank == 3 else graphs}


def _rows(inputs):
    rank, given = inputs["rank"], inputs["batched"] or inputs["bare"]
    if rank == 3 and not given:  # the graph has no axis of its own
        return ROWS
    return {**ROWS, "out.x": Rows("graph", axis=-2 if rank == 3 else 0)}


def _exact(name, config):
    """Not a mean: XLA multiplies by the reciprocal, which is rounded. Nor sums of two shares of
    ties, which give an eighth by chance."""
    if name == "global_mean_pool":
        return ()
    shares = config.inputs["rank"] == 3 and name != "global_add_pool"
    return ("out.x",) if shares or config.inputs.get("integers") else ("out.x", "d.x")


def _pyg_min_pool(x, batch, size=None):
    """PyG has no such pool. This is what its other pools are made of."""
    from torch_geometric.utils import scatter

    dim = -1 if x.dim() == 1 else -2
    if batch is None:
        return x.min(dim=dim, keepdim=x.dim() <= 2)[0]
    return scatter(x, batch, dim=dim, dim_size=size, reduce="min")


def _global_spec(name, grid):
    def pyg():
        import torch_geometric.nn

        return getattr(torch_geometric.nn, name, _pyg_min_pool)

    return Spec(
        name,
        pyg=pyg,
        eqx=lambda: getattr(pool, name),
        call_pyg=_call_pyg,
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=_pad,
        real=_real,
        blocks=_blocks,
        differentiate=("x",),
        exact=functools.partial(_exact, name),
        rows=_rows,
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes=INPUT_CLASSES,
    )


SPECS = (
    _global_spec("global_add_pool", SUMS + INTEGERS),
    _global_spec("global_mean_pool", SUMS),
    _global_spec("global_max_pool", EXTREMES + INTEGERS),
    _global_spec("global_min_pool", EXTREMES + INTEGERS),
)
