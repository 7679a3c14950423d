"""What the specs of readouts share."""

import dataclasses

import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.parity import Config, Rows, Spec

from .._operator import Made, Variant, edits
from .common import INPUT_CLASSES, ROWS, keeps_dtypes, pad_with

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
    # Without `batch` the first of several largest gets the gradient.
    counts = not given and any(len(np.unique(c)) < len(c) for c in np.atleast_2d(inputs["x"].T))
    rows = {**ROWS, "x": dataclasses.replace(ROWS["x"], ordered=counts)}
    if rank == 3 and not given:  # the graph has no axis of its own
        return rows
    return {**rows, "out.x": Rows("graph", axis=-2 if rank == 3 else 0)}


def exact(config, shared=False):
    """Not sums of two shares of ties, which give an eighth by chance."""
    shares = shared and config.inputs["rank"] == 3
    return ("out.x",) if shares or config.inputs.get("integers") else ("out.x", "d.x")


def readout_spec(readout, pyg, grid, exact=exact):
    """`pyg` makes PyG's."""
    return Spec(
        readout.__name__,
        pyg=pyg,
        eqx=lambda: readout,
        call_pyg=_call_pyg,
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=_pad,
        real=_real,
        blocks=_blocks,
        differentiate=("x",),
        exact=exact,
        rows=_rows,
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes=INPUT_CLASSES,
    )


def readout_variant(readout, minor=False):
    return Variant(
        readout.__name__,
        lambda dtype, key: readout,
        lambda readout, inputs: readout(inputs.x, inputs.batch),
        "graph",
        minor,
    )


def readout_made(readout, most, traffic):
    """Of any width: it has no parameters."""
    return Made(readout.__name__, lambda width, **more: readout, None, most, traffic)


FAULTS = (
    *edits(
        "nn.pool._global:_by_graph",
        ("sets stay first", "jnp.swapaxes(out, 0, axis)", "out", "rank=3"),
        (
            "features are detached",
            "jnp.swapaxes(x, 0, axis)",
            "DETACHED(jnp.swapaxes(x, 0, axis))",
        ),
    ),
    *edits(
        "nn.pool._global:_node_axis",
        ("sets are nodes", "max(x.ndim - 2, 0)", "0", "rank=3"),
    ),
    *edits(
        "nn.pool._global:_whole",
        (
            "sets keep an axis of one graph",
            "jnp.squeeze(out, axis) if x.ndim == 3 else out",
            "out",
            "rank=3, batch=None",
        ),
    ),
    *edits(
        "nn.pool._global:_first",
        (
            "last of several largest",
            "search(x, axis, keepdims=True)",
            "x.shape[axis] - 1 - search(jnp.flip(x, axis), axis, keepdims=True)",
            "batch=None",
        ),
    ),
)


def nothing(case, config):
    return "no_nodes" in case.tags and config.inputs.get("batch", "given") is None
