"""What the specs of aggregations share: a few small batches, which PyG is given graph by graph."""

import functools
import inspect

import jax
import numpy as np

from jraphx_eqx.data._batch_vector import bounded_batch
from jraphx_eqx.parity import Case, Config, Rows, Spec, graphs, stable_sort

from .._operator import Operator, edits
from .common import INPUT_CLASSES, WIDTH, keeps_dtypes, pad_with, undrawn

PLAIN = (Config(),)
LARGEST = 6  # of the graphs below
# As PyG is called, and each graph alone, which is what ours does by default where they differ.
ROOM, ALONE = {"room": True}, {"alone": True}
CLASSES = (
    *("several graphs", "a graph without nodes", "a graph of one node"),
    *("an unsorted batch vector", "equal nodes", "features above 10"),
)


def cases(seed: int) -> list[Case]:
    """Six graphs each, so that all are padded to one shape. PyG fails where the first has no nodes,
    in quantiles, and where all are of one node, in norms."""
    rng = np.random.default_rng([seed, 13])
    plain, empty = [5, 2, 6, 1, 4, 3], [3, 0, 6, 1, 4, 0]
    mixed = _assembled(f"mixed:{seed}", rng, empty, order=rng.permutation(sum(empty)))
    ties, large = (_assembled(f"{name}:{seed}", rng, plain) for name in ("ties", "large"))
    kinds = rng.integers(0, 4, ties["x"].shape)
    ties.arrays["x"] = np.asarray([-2, -1, 1, 2], np.float32)[kinds]
    large.arrays["x"] = large["x"] * np.float32(10)
    return [_assembled(f"plain:{seed}", rng, plain), mixed, ties, large]


def _assembled(name, rng, sizes, order=slice(None)):
    case = graphs.assemble(name, rng, sizes, features=WIDTH, degree=0)
    arrays = {name: case[name][order] for name in ("x", "batch")}
    more = {"edge_index": case["edge_index"], "num_graphs": len(sizes)}
    return Case(name, {**arrays, **more})


def _inputs(case, *, room=False, alone=False):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    return {**arrays, "room": room, "alone": alone}


def _call_pyg(module, inputs):
    import torch

    order = torch.argsort(inputs["batch"], stable=True)  # without which some of PyG's fail
    x, index, size = inputs["x"][order], inputs["batch"][order], inputs["num_graphs"]
    with stable_sort():
        if not inputs["alone"]:
            options = {"max_num_elements": LARGEST} if inputs["room"] else {}
            return {"x": module(x, index, dim_size=size, **options)}
        rows = [x[index == graph] for graph in range(size)]
        outs = [module(one, 0 * index[: len(one)], dim_size=1) for one in rows if len(one)]
    out = torch.cat(outs)
    zeros = out.new_zeros(size, *out.shape[1:])
    return {"x": zeros.index_copy(0, torch.unique(index), out)}


def _call(module, inputs):
    batch = bounded_batch(inputs["batch"], inputs["num_graphs"], LARGEST)
    return {"x": module(inputs["x"], batch, max_rows=LARGEST if inputs["room"] else None)}


def _pad(inputs, case):
    return {**pad_with(np.nan)(inputs, case), "real_graphs": inputs["num_graphs"]}


def _blocks(inputs, outputs):
    return {"d.x": inputs["batch"], "out.x": np.arange(inputs["num_graphs"])}


def _rows(ordered):
    nodes = {"x": Rows("node", ordered=ordered), "batch": Rows("node", holds="graph")}
    return lambda inputs: {**nodes, "out.x": Rows("graph")}


def our_aggr(layer, *args, **options):
    """Our layer, with zeros for the weights that it would draw."""
    if "key" in inspect.signature(layer.__init__).parameters:
        options["key"] = jax.random.key(0)
    return undrawn(lambda: layer(*args, **options))


def pyg_aggr(name, *args, **options):
    import torch_geometric.nn

    return getattr(torch_geometric.nn.aggr, name)(*args, **options)


def aggr(
    layer,
    *faults,
    args=(),
    grid=PLAIN,
    pyg=None,
    ours=None,
    ordered=False,
    exact=(),
    weights=lambda name, drawn: drawn,
    renames=None,
    expect_zero=lambda tensor: None,
    divergences=(),
    equivalent=None,
    cost=1,
):
    """The entry of an aggregation.

    - `args`: the first arguments of both constructors.
    - `pyg`, `ours`: make it from the options, where PyG's constructor takes others than ours.
    - `ordered`: whether the order of the rows counts.
    - `exact`: the tensors that are sums of products.
    - `cost`: the seconds of `check`.
    """
    spec = Spec(
        layer.__name__,
        pyg=pyg or functools.partial(pyg_aggr, layer.__name__, *args),
        eqx=ours or functools.partial(our_aggr, layer, *args),
        call_pyg=_call_pyg,
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=_pad,
        real=lambda inputs, outputs: {"x": slice(inputs["real_graphs"])},
        blocks=_blocks,
        differentiate=("x",),
        exact=lambda config: exact,
        rows=_rows(ordered),
        weights=weights,
        expect_zero=expect_zero,
        renames=renames or {},
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes={name: INPUT_CLASSES[name] for name in CLASSES},
    )
    return Operator(
        layer,
        spec=spec,
        faults=faults,
        equivalent=equivalent or {},
        divergences=divergences,
        live=False,
        cases=cases,
        cost=cost,
    )


def buffer(name):
    """What may expect a gradient of zero: that of a buffer."""
    return lambda tensor: "a buffer" if tensor == f"d.{name}" else None


def of(layer, *changes):
    """Faults in the `aggregate` of a layer."""
    module = layer.__module__.removeprefix("jraphx_eqx.")
    return edits(f"{module}:{layer.__name__}.aggregate", *changes)
