"""Records what torch-geometric-pool gives: `python record.py FILE`, with it on the path.

The file holds float64 arrays. The inputs are `input/NAME`. For each pooling, below its name, there
are its parameters as `state/NAME`, what it returns as `out/NAME`, its losses as `loss/NAME`, and
the gradients of the sum of the losses and of the sines of features and weights, as `grad/NAME`.
Of poolings that are decided on the host there is what they decided as well, as `select/NAME`.
"""

import contextlib
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch

# Three graphs: a house, a path with a node apart, and a pair. Nodes of one graph stand together.
BATCH = [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
ENDS = [0, 1, 2, 3, 0, 3, 5, 6, 9], [1, 2, 3, 0, 4, 4, 6, 7, 10]
EDGES = [[*ENDS[0], *ENDS[1]], [*ENDS[1], *ENDS[0]]]
WIDTH, CLUSTERS = 3, 3
DENSE = {
    "jb": ("jb", {}),
    "jb plain": ("jb", {"normalize_loss": False}),
    "hosc": ("hosc", {"mu": 0.3, "alpha": 0.25}),
    "hosc ortho": ("hosc", {"hosc_ortho": True, "alpha": 1.0}),
    "acc": ("acc", {}),
    "bnpool": ("bnpool", {"alpha_DP": 2.0, "eta": 0.5, "K_mu": 3.0}),
    "mincut": ("mincut", {}),
    "dmon": ("dmon", {"ortho_loss_coeff": 1.0}),
    "diff": ("diff", {"remove_self_loops": False, "degree_norm": False}),
}
KMIS = {
    "kmis": {},
    "kmis w-greedy": {"score_heuristic": "w-greedy", "order_k": 2},
    "kmis degree": {"scorer": "degree"},
    "kmis constant": {"scorer": "constant"},
    "kmis canonical": {"scorer": "canonical", "score_heuristic": None},
}
HOST = {
    "ndp": ("ndp", {}),
    "eigen": ("eigen", {"k": 2, "num_modes": 3}),
    "eigen plain": ("eigen", {"k": 3, "num_modes": 2, "normalized": False}),
    "nmf": ("nmf", {"k": 3}),
    "sep": ("sep", {}),
}
KEPT = {
    "reduce_red_op": None,
    "connect_red_op": "max",
    "remove_self_loops": False,
    "degree_norm": True,
    "s_inv_op": "inverse",
}
MEAN = {"connect_red_op": "mean", "edge_weight_norm": True, "s_inv_op": "inverse"}
LIFTED = {"kmis kept": ("kmis", KEPT), "ec": ("ec", {}), "graclus": ("graclus", MEAN)}
LAP = {"lap": {}, "lap paths": {"shortest_path_reg": True}}
UNITS = {"mp_units": [4], "mlp_units": [4]}
MAXCUT = {
    "maxcut": {
        **UNITS,
        "ratio": 2,
        "max_iter": 1,
        "mp_act": "relu",
        "mlp_act": "tanh",
        "act": "sigmoid",
        "delta": 1.5,
    },
    "maxcut kept": {**UNITS, "assign_all_nodes": False},
}


def top_eigenvector(matrix, largest):
    """That of the largest eigenvalue, whose largest number is positive; zeros are zeros."""
    values, vectors = np.linalg.eigh(matrix.to_dense().double().numpy())
    vector = vectors[:, -1].round(6)
    vector = vector * np.sign(vector[np.argmax(np.abs(vector))])
    return values[-1:], torch.tensor(vector[:, None] + 0.0)


@contextlib.contextmanager
def repeatable():
    """Samples are means, sorts are stable, eigenvectors have a sign, and random integers are 0."""
    from torch.distributions import Beta

    names = ("argsort", "lobpcg", "randint")
    drawn, (sort, *others) = Beta.rsample, [getattr(torch, name) for name in names]
    torch.lobpcg = top_eigenvector
    Beta.rsample = lambda self, shape=(): self.mean
    torch.randint = lambda low, high, size, **options: torch.zeros(size, dtype=torch.long)
    torch.argsort = lambda values, dim=-1, descending=False: sort(
        values, dim=dim, descending=descending, stable=True
    )
    yield
    Beta.rsample = drawn
    for name, before in zip(names, (sort, *others), strict=True):
        setattr(torch, name, before)


def inputs():
    """Fresh tensors: features, the edge list, weights, and the batch vector."""
    rng = np.random.default_rng(3)
    x = torch.tensor(rng.normal(size=(len(BATCH), WIDTH)), requires_grad=True)
    weight = np.tile(rng.uniform(0.5, 2, len(ENDS[0])), 2)
    return x, torch.tensor(EDGES), torch.tensor(weight, requires_grad=True), torch.tensor(BATCH)


def results(pool, weighed=True, select=False):
    """What a pooling returns, and the gradients; `weighed` is whether weights have a part, and
    `select` whether to tell what was decided."""
    x, edges, weight, batch = inputs()
    if hasattr(pool, "K"):  # Its loss takes weights for probabilities.
        weight = torch.ones_like(weight)
    so, given = None, weight
    if select:  # Its weights must have no gradients, and its edges stand graph by graph.
        order = torch.argsort(batch[edges[0]])
        edges, given = edges[:, order], weight[order]
        graph = {"edge_index": edges, "edge_weight": given.detach(), "batch": batch}
        so = pool.select(**graph, num_nodes=len(x))
        if type(pool).__name__ == "NDPPooling":
            given = given.detach()
    out = pool(x=x, adj=edges, edge_weight=given, so=so, batch=batch)
    dense = out.edge_index.is_floating_point()
    weights = out.edge_index if dense else out.edge_weight
    found = {f"loss/{name}": value for name, value in (out.loss or {}).items()}
    total = sum(found.values()) + torch.sin(out.x).sum()
    if weighed:
        total = total + torch.sin(weights).sum()
    total.backward()
    found |= {"out/x": out.x, "out/weight": weights, "grad/x": x.grad}
    if weight.grad is not None:
        found["grad/weight"] = weight.grad
    if not dense:
        found |= {"out/edge_index": out.edge_index, "out/batch": out.batch}
        found |= {"out/cluster": out.so.cluster_index}
    if select and dense:
        found["select/s"] = out.so.s
        if hasattr(out.so, "theta"):
            found["select/theta"] = torch.cat(out.so.theta)
    elif select:
        found["select/node"] = out.so.node_index
    for name, parameter in pool.named_parameters():
        found[f"state/{name}"] = parameter
        gradient = parameter.grad
        found[f"grad/{name}"] = torch.zeros_like(parameter) if gradient is None else gradient
    return found


def hosc_results(pool):
    """Those of a pooling that keeps the diagonal, which its loss is computed from."""
    usual = results(pool, weighed=False)
    pool.zero_grad()
    pool.connector.remove_self_loops = pool.connector.degree_norm = False
    found = results(pool, weighed=False)
    return {**found, "out/weight": usual["out/weight"], "default/loss": usual["loss/hosc_loss"]}


def heaviest_first(row, col, weight, num_nodes):
    """Joins the ends of the heaviest edge first, where torch-cluster's visits nodes at random."""
    cluster = torch.arange(num_nodes)
    left = torch.ones(num_nodes, dtype=torch.bool)
    for edge in torch.argsort(weight.detach(), descending=True):
        ends = torch.stack([row[edge], col[edge]])
        if left[ends].all():
            cluster[ends], left[ends] = ends.min(), False
    return cluster


def lifted_results(pool):
    """Those of a pooling, and the pooled features brought back."""
    x, edges, weight, batch = inputs()
    out = pool(x=x, adj=edges, edge_weight=weight, batch=batch)
    return results(pool) | {"out/lift": pool(x=out.x, so=out.so, lifting=True)}


def keep_results(pool):
    """What a pooling keeps of a graph without weights, and the gradients of its features alone."""
    x, edges, _, batch = inputs()
    out = pool(x=x, adj=edges, batch=batch)
    torch.sin(out.x).sum().backward()
    perm = out.so.node_index[torch.argsort(out.so.cluster_index)]
    found = {"out/x": out.x, "out/perm": perm, "out/edge_index": out.edge_index, "grad/x": x.grad}
    for name, parameter in pool.named_parameters():
        found |= {f"state/{name}": parameter, f"grad/{name}": parameter.grad}
    return found


def lap_results(options):
    """Those of a pooling without parameters, and the memberships."""
    from tgp.poolers import get_pooler

    pool = get_pooler("lap", **options)
    x, edges, weight, batch = inputs()
    select = pool(x=x, adj=edges, edge_weight=weight, batch=batch).so
    found = {"out/matrix": select.s[select.in_mask], "out/used": select.out_mask}
    return results(pool) | found


def maxcut_results(pool):
    """Those of a pooling that scores nodes, and its scores where the last node has no edge."""
    x, edges, weight, batch = inputs()
    found = {
        "out/score": pool.select(x=x, edge_index=edges, edge_weight=weight, batch=batch).scores
    }
    near = edges[0] < 9
    score = pool.selector.score_net(x[:9], edges[:, near], weight[near])
    return {**results(pool), **found, "apart/score": score[:, 0]}


def record(path: Path) -> None:
    """Writes the file."""
    from tgp.poolers import get_pooler, pooler_map
    from tgp.select import graclus_select

    graclus_select.torch_cluster = types.SimpleNamespace(graclus_cluster=heaviest_first)
    graclus_select.check_torch_cluster_available = lambda: None
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    arrays = dict(zip(("input/x", "input/edge_index", "input/weight"), inputs(), strict=False))
    arrays["input/batch"] = torch.tensor(BATCH)
    with repeatable():
        for number, (name, (alias, options)) in enumerate(DENSE.items()):
            sizes = {"in_channels": WIDTH, "k": CLUSTERS}
            torch.manual_seed(number)
            pool = get_pooler(alias, **sizes, **options)
            found = hosc_results(pool) if alias == "hosc" else results(pool)
            arrays |= {f"{name}/{key}": value for key, value in found.items()}
        for number, (name, options) in enumerate(KMIS.items()):
            torch.manual_seed(number)
            pool = get_pooler("kmis", in_channels=WIDTH, **options)
            arrays |= {f"{name}/{key}": value for key, value in results(pool).items()}
        for name, (alias, options) in LIFTED.items():
            torch.manual_seed(1)
            pool = get_pooler(alias, in_channels=WIDTH, **options)
            arrays |= {f"{name}/{key}": value for key, value in lifted_results(pool).items()}
        for name, options in LAP.items():
            arrays |= {f"{name}/{key}": value for key, value in lap_results(options).items()}
        for name, options in MAXCUT.items():
            torch.manual_seed(20)  # The best node of a graph with nodes that are left is its first.
            pool = get_pooler("maxcut", in_channels=WIDTH, **options)
            arrays |= {f"{name}/{key}": value for key, value in maxcut_results(pool).items()}
        for name, (alias, options) in HOST.items():
            np.random.seed(0)
            # It mixes float32, which its Laplacian always is, with the default.
            torch.set_default_dtype(torch.float32 if alias == "ndp" else torch.float64)
            found = results(get_pooler(alias, **options), select=True)
            arrays |= {f"{name}/{key}": value for key, value in found.items()}
        for alias in ("topk", "sag", "asap"):
            torch.manual_seed(1)
            found = keep_results(get_pooler(alias, in_channels=WIDTH))
            arrays |= {f"keep {alias}/{key}": value for key, value in found.items()}
        scores = torch.tensor([[0.1], [1.1], [2.1], [3.1]])
        out = get_pooler("topk", in_channels=1, ratio=3)(
            x=scores, adj=torch.tensor([[3, 3], [1, 2]])
        )
        rows = out.so.node_index[torch.argsort(out.so.cluster_index)]
        arrays |= {"topk/rows": rows, "topk/x": out.x, "topk/edges": out.edge_index}
    found = {key: value.detach().numpy() for key, value in arrays.items()}
    np.savez_compressed(path, **found, aliases=np.array(sorted(pooler_map)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    record(Path(sys.argv[1]))
