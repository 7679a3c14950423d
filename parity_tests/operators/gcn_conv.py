import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.nn.conv import GCNConv
from jraphx_eqx.parity import Config, Divergence

from .._operator import Operator, edits, pick
from ..families import conv, segment
from ..families.conv import (
    COLUMN,
    REST_BY_BLOCK,
    WEIGHT,
    conv_made,
    conv_spec,
    conv_variant,
    exact_sums,
    first_attribute,
)

GRID = (
    Config({}, cases=("unsorted",)),
    Config({}, WEIGHT),
    Config({"improved": True}, WEIGHT),
    Config({"improved": True, "bias": False}),
    Config({"add_self_loops": False}, COLUMN),
    Config({"normalize": False}, WEIGHT),
    Config({"normalize": False, "bias": False}, REST_BY_BLOCK),
    Config({"add_self_loops": False}),
)


def _exact(config):
    return () if config.options.get("normalize", True) else exact_sums(config)


LOOPS = np.array([[0, 0, 1], [0, 0, 0]])
FEATURES = np.array([[2.0], [1.0]], np.float32)
WEIGHTS = np.array([2.0, 3.0, 1.0], np.float32)


def _overwritten_loop():
    import torch
    from torch_geometric.nn import GCNConv as PyG

    theirs = PyG(1, 1)
    torch.nn.init.ones_(theirs.lin.weight)
    weight = torch.tensor(WEIGHTS, requires_grad=True)
    theirs(torch.tensor(FEATURES), torch.tensor(LOOPS), weight)[0].sum().backward()
    layer = GCNConv(1, 1, key=jax.random.key(0))
    layer = jax.tree.map(jnp.ones_like, layer)
    ours = jax.grad(lambda w: layer(jnp.asarray(FEATURES), jnp.asarray(LOOPS), w)[0].sum())
    return weight.grad.tolist(), ours(jnp.asarray(WEIGHTS)).tolist()


def _zero_weight():
    import torch
    from torch_geometric.nn import GCNConv as PyG

    edges, weights = np.array([[0], [1]]), np.zeros(1, np.float32)
    theirs = PyG(1, 1, add_self_loops=False)
    weight = torch.tensor(weights, requires_grad=True)
    theirs(torch.ones(2, 1), torch.tensor(edges), weight).sum().backward()
    layer = GCNConv(1, 1, add_self_loops=False, key=jax.random.key(0))
    ours = jax.grad(lambda w: layer(jnp.ones((2, 1)), jnp.asarray(edges), w).sum())
    return np.isnan(weight.grad.tolist()).tolist(), np.isnan(ours(jnp.asarray(weights))).tolist()


def _has_double_loops(case):
    loops = case["edge_index"][0][np.equal(*case["edge_index"])]
    return len(np.unique(loops)) < len(loops)


OVERWRITTEN_LOOP = Divergence(
    "overwritten-loop",
    condition="a node has several self-loops with weights",
    pyg=[0.0625, 0.0625, 0.0625],
    ours=[0.0, 0.0625, 0.0625],
    reason="Only the last loop's weight counts, but PyTorch gives its gradient to all of them. "
    "Here the others, which do not matter, get 0.",
    link="https://pytorch.org/docs/stable/generated/torch.Tensor.index_put_.html",
    probe=_overwritten_loop,
    covers=lambda case, config, lane, tensor: (
        tensor == "d.edge_weight"
        and config.options.get("normalize", True)
        and config.options.get("add_self_loops", True)
        and _has_double_loops(case)
    ),
)
ZERO_WEIGHT = Divergence(
    "zero-weight",
    condition="all edges into a node have weight 0, and there is no loop",
    pyg=[True],
    ours=[False],
    reason="PyTorch's gradient of the inverse root of the degree is NaN there. Here it is 0.",
    link="https://pytorch.org/docs/stable/generated/torch.pow.html",
    probe=_zero_weight,
)

OPERATOR = Operator(
    GCNConv,
    spec=conv_spec(GCNConv, GRID, _exact),
    faults=(
        *conv.FAULTS,
        *pick(
            conv.SOME,
            "edges not weighted",
            "weights of edges are detached",
            "padding edges keep their attributes",
            "weights of edges backwards",
            "loops are kept, others removed",
            "half precision comes back in float32",
        ),
        *pick(
            segment.FAULTS,
            "sum in bfloat16",
            "sum in float32",
            "a sum by block without its last rows",
            "every block is the first",
        ),
        *edits(
            "nn._linear:glorot",
            ("other initial weights", "math.sqrt(6 /", "math.sqrt(3 /"),
        ),
        *edits(
            "nn.conv._gcn:GCNConv._with_degrees",
            ("degree of sources", "degree(edge_index[1],", "degree(edge_index[0],"),
            (
                "degree without the weights",
                "degree(edge_index[1], num_nodes, edge_weight, wide)",
                "degree(edge_index[1], num_nodes, None, wide)",
                "weight",
            ),
            ("degree without the loop", "degrees = degrees + loop_weight", "pass"),
            (
                "loops count twice",
                "edge_index, edge_weight = remove_self_loops(edge_index, edge_weight, num_nodes)",
                "edge_index, edge_weight = edge_index, edge_weight",
                "loops",
            ),
            ("loops always", "if self.add_self_loops:", "if True:", "add_self_loops=False"),
        ),
        *edits(
            "nn.conv._gcn:GCNConv.__call__",
            ("no scale of the source", "_divided_by_root(x, degrees)", "x"),
            ("no scale of the target", "_divided_by_root(out, degrees)", "out"),
            ("normalised always", "if not self.normalize:", "if False:", "normalize=False"),
            ("no loop of its own", "out = out + loop_weight[:, None] * rows", "out = out * 1"),
            ("no bias", ".astype(x.dtype), self.bias)", ", None)"),
        ),
        *edits(
            "nn.conv._gcn:GCNConv._loop_weights",
            ("improved is ignored", "2 if self.improved else 1", "1", "improved=True, weight"),
            (
                "improved without weights",
                "jnp.ones(num_nodes, dtype)",
                "jnp.full(num_nodes, 2 if self.improved else 1, dtype)",
                "improved=True, bias",
            ),
        ),
        *edits(
            "nn.conv._gcn:_divided_by_root",
            ("inverse of the degree", "1 / root * x", "x / root**2"),
            ("eps in the root of the degree", "jnp.sqrt(", "jnp.sqrt(1e-12 + "),
            (
                "scale 1 without neighbours",
                "jnp.where(degrees == 0, 0, 1 / root * x)",
                "1 / root * x",
                "add_self_loops=False",
            ),
            (
                "gradient of a degree of 0",
                "jnp.where(degrees == 0, 1, degrees)",
                "degrees",
                "add_self_loops=False",
            ),
        ),
        *edits(
            "ops._loops:self_loop_weights",
            (
                "weight of a loop is ignored",
                "jnp.where(last < 0, fill_value, existing)",
                "jnp.full_like(existing, fill_value)",
                "weight",
            ),
            ("first of several loops", 'aggregation("max")', 'aggregation("min")', "weight"),
        ),
    ),
    equivalent={
        "padding edges keep their attributes": conv.PAST_THE_END,
        "other initial weights": "PyG's weights are loaded before anything is compared. "
        "`test_initial.py` compares the initial ones.",
    },
    divergences=(OVERWRITTEN_LOOP, ZERO_WEIGHT),
    variants=(
        conv_variant("gcn", GCNConv, minor=True),
        conv_variant("gcn_weighted", GCNConv, edges=first_attribute, improved=True),
        conv_variant(
            "gcn_plain", GCNConv, minor=True, edges=first_attribute, normalize=False, bias=False
        ),
    ),
    made=(conv_made(GCNConv),),
    cost=41,
)
