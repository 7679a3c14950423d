"""What the specs of norms share: padded batches, and one graph without a batch vector."""

import equinox as eqx
import jax
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.parity import Rows, Spec

from .._operator import Made, Variant, edits
from .common import (
    INPUT_CLASSES,
    ROWS,
    WIDTH,
    keeps_dtypes,
    our_layer,
    pad_with,
    pyg_layer,
    row_groups,
)

# Several graphs of one node each would otherwise have a variance of 0, and a slope of 1/√eps.
LARGE_EPS = {"eps": 0.1}


def _inputs(case, *, batched=True, training=True):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    if not batched:
        arrays.update({"batch": np.zeros_like(case["batch"]), "num_graphs": 1})
    return {**arrays, "batched": batched, "training": training}


def _call_pyg(mixes):
    def call(module, inputs):
        module.train(inputs["training"])
        given = inputs["batched"] and not mixes
        # PyG cannot count the graphs of no nodes itself.
        more = (inputs["batch"], inputs["num_graphs"]) if given else ()
        return {"x": module(inputs["x"], *more)}

    return call


def _call(module, inputs):
    module = eqx.nn.inference_mode(module, not inputs["training"])
    if not inputs["batched"]:
        return {"x": module(inputs["x"])}
    return {"x": module(inputs["x"], BatchVector(inputs["batch"], inputs["num_graphs"]))}


def _rows(inputs):
    return {**ROWS, "out.x": Rows("node")}


def _no_gradient(tensor):
    return (
        "a running statistic, which nothing is differentiated by" if "running" in tensor else None
    )


def norm_spec(layer, grid, mixes=False):
    """One that `mixes` has statistics of all nodes, where every node counts for all others."""

    def pyg(**options):
        import torch_geometric.nn

        return getattr(torch_geometric.nn, layer.__name__)(WIDTH, **options)

    def ours(**options):
        return layer(WIDTH, **options, key=jax.random.key(0))

    def blocks(inputs, outputs):
        if mixes:
            return {}
        return {**row_groups(inputs), "out.x": inputs["batch"]}

    return Spec(
        layer.__name__,
        pyg=pyg,
        eqx=ours,
        call_pyg=_call_pyg(mixes),
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=pad_with(np.nan),
        real=lambda inputs, outputs: {
            "x": slice(int((inputs["batch"] < inputs["num_graphs"]).sum()))
        },
        blocks=blocks,
        differentiate=("x",),
        # One graph may not be taken out of a batch whose nodes all count together.
        rows=None if mixes else _rows,
        expect_zero=_no_gradient,
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes=INPUT_CLASSES,
    )


def norm_variant(name, layer, minor=True, inference=False, mixes=False, **options):
    def build(dtype, key):
        norm = eqx.nn.inference_mode(layer(WIDTH, dtype=dtype, **options), inference)
        leaves, structure = jax.tree.flatten(norm)
        # Other numbers than 0 and 1.
        return jax.tree.unflatten(structure, [(i + 2) * leaf for i, leaf in enumerate(leaves)])

    return Variant(
        name, build, lambda norm, inputs: norm(inputs.x, inputs.batch), "node", minor, mixes
    )


def norm_made(layer):
    return Made(layer.__name__, our_layer(layer), pyg_layer(layer.__name__))


FAULTS = (
    *edits(
        "nn.norm._norm:entering",
        ("padding counts in statistics", "mask_rows(wide, mask)", "wide"),
    ),
    *edits(
        "nn._layer_norm:scale_shift",
        ("scale is left out", "x = x * weight.reshape", "x = x + 0 * weight.reshape"),
        ("shift is left out", "add_bias(x, bias)", "x"),
    ),
    *edits(
        "nn.norm._norm:leaving",
        (
            "normalised rows of half precision in float32",
            "normalised.astype(x.dtype)",
            "normalised",
        ),
    ),
)
