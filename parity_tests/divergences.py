"""Known differences between this library and PyTorch Geometric.

Each entry is tested strictly: both sides must still give the values written here.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.nn import conv, norm, pool
from jraphx_eqx.parity import Divergence


def _hidden_zero():
    import torch
    from torch_geometric.nn import global_max_pool

    x = torch.zeros(3, 1, requires_grad=True)
    global_max_pool(x, torch.zeros(3, dtype=torch.long)).sum().backward()
    ours = jax.grad(lambda x: pool.global_max_pool(x, jnp.zeros(3, jnp.int32)).sum())
    return x.grad.ravel().tolist(), ours(jnp.zeros((3, 1))).ravel().tolist()


def _unstable_ties():
    import torch
    from torch_geometric.nn.pool.select.topk import topk

    # Equal scores in their own order would give 0, 1, 2.
    theirs = topk(torch.ones(40), 3, torch.zeros(40, dtype=torch.long)).tolist()
    select = pool.SelectTopK(1, ratio=3, key=jax.random.key(0))
    return theirs == [0, 1, 2], select(jnp.ones(40)).node_index.tolist() == [0, 1, 2]


def _mean_of_nothing():
    import torch
    from torch_geometric.nn import global_mean_pool

    theirs = global_mean_pool(torch.zeros(0, 2), None).tolist()
    return np.isnan(theirs).tolist(), np.isnan(pool.global_mean_pool(jnp.zeros((0, 2)))).tolist()


def _max_of_nothing():
    import torch
    from torch_geometric.nn import global_max_pool

    try:
        theirs = global_max_pool(torch.zeros(0, 2), None).tolist()
    except IndexError:
        theirs = "IndexError"
    return theirs, pool.global_max_pool(jnp.zeros((0, 2))).tolist()


LOOPS = np.array([[0, 0, 1], [0, 0, 0]])
FEATURES = np.array([[2.0], [1.0]], np.float32)
WEIGHTS = np.array([2.0, 3.0, 1.0], np.float32)


def _overwritten_loop():
    import torch
    from torch_geometric.nn import GCNConv

    theirs = GCNConv(1, 1)
    torch.nn.init.ones_(theirs.lin.weight)
    weight = torch.tensor(WEIGHTS, requires_grad=True)
    theirs(torch.tensor(FEATURES), torch.tensor(LOOPS), weight)[0].sum().backward()
    layer = conv.GCNConv(1, 1, key=jax.random.key(0))
    layer = jax.tree.map(jnp.ones_like, layer)
    ours = jax.grad(lambda w: layer(jnp.asarray(FEATURES), jnp.asarray(LOOPS), w)[0].sum())
    return weight.grad.tolist(), ours(jnp.asarray(WEIGHTS)).tolist()


def _zero_weight():
    import torch
    from torch_geometric.nn import GCNConv

    edges, weights = np.array([[0], [1]]), np.zeros(1, np.float32)
    theirs = GCNConv(1, 1, add_self_loops=False)
    weight = torch.tensor(weights, requires_grad=True)
    theirs(torch.ones(2, 1), torch.tensor(edges), weight).sum().backward()
    layer = conv.GCNConv(1, 1, add_self_loops=False, key=jax.random.key(0))
    ours = jax.grad(lambda w: layer(jnp.ones((2, 1)), jnp.asarray(edges), w).sum())
    return np.isnan(weight.grad.tolist()).tolist(), np.isnan(ours(jnp.asarray(weights))).tolist()


def _half_precision_count():
    import torch
    from torch_geometric.nn.pool.select.topk import topk

    theirs = topk(torch.arange(50).half(), 0.3, torch.zeros(50, dtype=torch.long))
    select = pool.SelectTopK(1, ratio=0.3, key=jax.random.key(0))
    return len(theirs), int((select(jnp.arange(50.0, dtype=jnp.float16)).node_index < 50).sum())


def _deviation():
    """Whether the deviation of 12,000 numbers is right in float64, up to four roundings."""
    import torch

    x = np.random.default_rng(0).random(12_000) ** 4
    exact = math.sqrt(math.fsum((x - math.fsum(x) / x.size) ** 2) / x.size)
    theirs = torch.tensor(x).std(unbiased=False).item()
    with jax.enable_x64(True):
        layer = norm.LayerNorm(1, eps=0.0, affine=False)
        whole = layer(jnp.asarray(x)[:, None])
        ours = (x[0] - math.fsum(x) / x.size) / whole[0, 0].item()
    return tuple(bool(abs(found - exact) <= 2.0**-50 * exact) for found in (theirs, ours))


def _has_double_loops(case):
    loops = case["edge_index"][0][np.equal(*case["edge_index"])]
    return len(np.unique(loops)) < len(loops)


MAX_AGGREGATIONS = ("global_max_pool", "global_min_pool", "SAGEConv", "GraphConv", "GINConv")


DIVERGENCES = (
    Divergence(
        "hidden-zero",
        MAX_AGGREGATIONS,
        condition="the maximum or minimum of a group is exactly 0",
        pyg=[0.25, 0.25, 0.25],
        ours=[1 / 3, 1 / 3, 1 / 3],
        reason="PyTorch's scatter counts the zero that the output starts from as one more tie, so "
        "a part of the gradient is lost. Here the gradient is shared among the nodes alone.",
        link="https://pytorch.org/docs/stable/generated/torch.Tensor.scatter_reduce_.html",
        probe=_hidden_zero,
        covers=lambda case, config, lane, tensor: "zeros" in case.tags and tensor[:2] == "d.",
    ),
    Divergence(
        "unstable-ties",
        ("TopKPooling", "SAGPooling"),
        condition="17 or more equal scores",
        pyg=False,
        ours=True,
        reason="PyG sorts without `stable=True`, so its choice among equal scores depends on the "
        "rest of the batch. Here ties go to the lowest index, always; the comparison makes "
        "PyTorch's sort stable.",
        link="https://pytorch.org/docs/stable/generated/torch.sort.html",
        probe=_unstable_ties,
    ),
    Divergence(
        "mean-of-nothing",
        ("global_mean_pool",),
        condition="no nodes and no batch vector",
        pyg=[[True, True]],
        ours=[[False, False]],
        reason="PyG gives NaN here, and 0 for an empty graph with a batch vector. Here it is 0 in "
        "both cases.",
        link="https://pytorch-geometric.readthedocs.io/en/latest/modules/nn.html#pooling-layers",
        probe=_mean_of_nothing,
        covers=lambda case, config, lane, tensor: _nothing(case, config),
    ),
    Divergence(
        "extremum-of-nothing",
        ("global_max_pool", "global_min_pool"),
        condition="no nodes and no batch vector",
        pyg="IndexError",
        ours=[[0.0, 0.0]],
        reason="PyG raises an error here, and gives 0 for an empty graph with a batch vector. Here "
        "it is 0 in both cases.",
        link="https://pytorch-geometric.readthedocs.io/en/latest/modules/nn.html#pooling-layers",
        probe=_max_of_nothing,
        covers=lambda case, config, lane, tensor: _nothing(case, config),
    ),
    Divergence(
        "overwritten-loop",
        ("GCNConv", "GraphUNet"),
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
    ),
    Divergence(
        "zero-weight",
        ("GCNConv",),
        condition="all edges into a node have weight 0, and there is no loop",
        pyg=[True],
        ours=[False],
        reason="PyTorch's gradient of the inverse root of the degree is NaN there. Here it is 0.",
        link="https://pytorch.org/docs/stable/generated/torch.pow.html",
        probe=_zero_weight,
    ),
    Divergence(
        "half-precision-count",
        ("TopKPooling", "SAGPooling"),
        condition="scores in float16 or bfloat16",
        pyg=15,
        ours=16,
        reason="PyG computes the number of nodes to keep in the dtype of the scores. Here that is "
        "done in float32 at least.",
        link="https://pytorch-geometric.readthedocs.io/en/latest/modules/nn.html#pooling-layers",
        probe=_half_precision_count,
    ),
    Divergence(
        "deviation-of-many",
        ("LayerNorm",),
        condition="thousands of nodes without a batch vector, in float64",
        pyg=False,
        ours=True,
        reason="PyTorch's `std` updates mean and variance number by number, and its float64 result "
        "is off by hundreds of units in the last place. Here the squares are summed up.",
        link="https://pytorch.org/docs/stable/generated/torch.std.html",
        probe=_deviation,
        covers=lambda case, config, lane, tensor: (
            lane == "f64" and not config.inputs.get("batched", True) and len(case["x"]) > 1000
        ),
    ),
)


def _nothing(case, config):
    return "no_nodes" in case.tags and config.inputs.get("batch", "given") is None
