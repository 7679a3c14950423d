"""What the specs of convolutions share."""

import jax

from jraphx_eqx.parity import Rows, Spec

from .._operator import Made, Variant, edits
from .common import (
    EDGE_CLASSES,
    ROWS,
    WIDTH,
    keeps_dtypes,
    one_graph,
    our_layer,
    pad_with,
    pyg_layer,
    row_groups,
    small_blocks,
    undrawn,
)

OUT = 4
WEIGHT, COLUMN = {"weight": "edge_weight"}, {"weight": "column"}
ATTR, NUMBER, BY_BLOCK = {"attr": 2}, {"attr": 1}, {"by_block": True}
# Without padding the rows after the last whole block are real ones.
REST_BY_BLOCK = {**BY_BLOCK, "batched": False}


def _inputs(case, *, weight=None, attr=None, batched=True, by_block=False):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    arrays.update({"edge_weight": None, "edge_attr": None, "batched": batched})
    arrays.update({"by_block": True} if by_block else {})
    if weight == "edge_weight":
        arrays["edge_weight"] = case["edge_weight"]
    elif weight == "column":
        arrays["edge_weight"] = case["edge_weight"][:, None]
    elif attr == 1:
        arrays["edge_attr"] = case["edge_weight"]
    elif attr == "column":
        arrays["edge_attr"] = case["edge_weight"][:, None]
    elif attr == 2:
        arrays["edge_attr"] = case["edge_attr"]
    return arrays if batched else one_graph(arrays)


def _call(module, inputs):
    """The same on both sides."""
    features = inputs["edge_weight"] if inputs["edge_attr"] is None else inputs["edge_attr"]
    more = () if features is None else (features,)
    with small_blocks(inputs):
        return {"x": module(inputs["x"], inputs["edge_index"], *more)}


def _real(inputs, outputs):
    num_nodes = int((inputs["batch"] < inputs["num_graphs"]).sum())
    return {"x": slice(num_nodes)}


def _blocks(inputs, outputs):
    return {**row_groups(inputs), "out.x": inputs["batch"]}


def exact_sums(config):
    """What is a sum of products. Not a mean, see `readout`, nor shares of ties."""
    options, gradients = config.options, ("d.x",)
    if config.inputs.get("weight"):
        gradients = ("d.x", "d.edge_weight")
    aggr = options.get("aggr", "add")
    if aggr in ("max", "min"):
        return ("out.x",)
    return ("out.x", *gradients) if aggr in ("add", "sum") else ()


def conv_spec(layer, grid, exact=lambda config: ()):
    def pyg(**options):
        import torch_geometric.nn

        return getattr(torch_geometric.nn, layer.__name__)(WIDTH, OUT, **options)

    def ours(**options):
        return undrawn(lambda: layer(WIDTH, OUT, **options, key=jax.random.key(0)))

    return Spec(
        layer.__name__,
        pyg=pyg,
        eqx=ours,
        call_pyg=_call,
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        # A convolution cannot know padded nodes. It promises that finite ones change nothing.
        pad=pad_with(7.0),
        real=_real,
        blocks=_blocks,
        differentiate=("x", "edge_weight", "edge_attr"),
        exact=exact,
        rows=lambda inputs: {**ROWS, "out.x": Rows("node")},
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes=EDGE_CLASSES,
    )


def conv_variant(name, layer, minor=False, edges=None, **options):
    """`edges` picks what the layer takes of the edge attributes."""

    def build(dtype, key):
        return layer(WIDTH, 2, dtype=dtype, key=key, **options)

    def call(conv, inputs):
        x, edge_index, edge_attr, _ = inputs
        return conv(x, edge_index) if edges is None else conv(x, edge_index, edges(edge_attr))

    return Variant(name, build, call, "conv", minor)


def first_attribute(edge_attr):
    return edge_attr[:, 0]


def all_attributes(edge_attr):
    return edge_attr


def conv_made(layer, **options):
    ours, pyg = our_layer(layer, 10, **options), pyg_layer(layer.__name__, 10, **options)
    return Made(layer.__name__, ours, pyg)


FAULTS = (
    *edits(
        "nn._linear:product",
        (
            "weight is not transposed",
            "x @ linear.weight.T",
            "x @ linear.weight.reshape(-1, linear.weight.shape[0])",
        ),
        (
            "product in bfloat16",
            "x @ linear.weight.T",
            "(x.astype(jnp.bfloat16) @ linear.weight.T.astype(jnp.bfloat16)).astype(x.dtype)",
        ),
        (
            "product in float32",
            "x @ linear.weight.T",
            "(x.astype(jnp.float32) @ linear.weight.T.astype(jnp.float32)).astype(x.dtype)",
        ),
        ("weight is detached", "x @ linear.weight.T", "x @ jax.lax.stop_gradient(linear.weight.T)"),
    ),
    *edits(
        "nn._linear:add_bias",
        ("bias twice", "x + bias.reshape", "x + 2 * bias.reshape"),
        ("bias is detached", "x + bias.reshape", "x + jax.lax.stop_gradient(bias).reshape"),
    ),
    *edits(
        "nn.conv._conv:AbstractConv.propagate",
        ("messages of the target", "gather(x, source)", "gather(x, target)"),
        (
            "messages to the source",
            "edge_weight), target, num_nodes",
            "edge_weight), source, num_nodes",
        ),
        (
            "messages in float16",
            "gather(x, source)",
            'gather(x.astype("float16"), source).astype(x.dtype)',
        ),
    ),
)
# Those that not every convolution can have.
SOME = (
    *edits(
        "nn.conv._conv:AbstractConv.propagate",
        (
            "edges not weighted",
            "edge_weight.reshape(edge_weight.shape + missing) * rows",
            "rows",
            "weight",
        ),
        (
            "weights of edges are detached",
            "edge_weight.reshape(edge_weight.shape + missing) * rows",
            "DETACHED(edge_weight.reshape(edge_weight.shape + missing)) * rows",
            "weight=edge",
        ),
    ),
    *edits(
        "ops._edges:masked_edges",
        (
            "padding edges keep their attributes",
            "jnp.where(rows, edge_attr, jnp.zeros_like(edge_attr))",
            "edge_attr",
            "weight",
        ),
    ),
    *edits(
        "nn.conv._weight:checked_weight",
        (
            "weights of edges backwards",
            "edge_weight.reshape(-1)",
            "edge_weight.reshape(-1)[::-1]",
            "weight",
        ),
    ),
    *edits(
        "ops._loops:remove_self_loops",
        (
            "loops are kept, others removed",
            "edge_index[0] != edge_index[1]",
            "edge_index[0] == edge_index[1]",
        ),
    ),
    *edits(
        "nn.conv._gcn:GCNConv.__call__",
        (
            "half precision comes back in float32",
            "_divided_by_root(out, degrees).astype(x.dtype)",
            "_divided_by_root(out, degrees)",
        ),
    ),
)
PAST_THE_END = (
    "Padding edges point past the end, so what they carry is added outside and gets no gradient."
)
