"""Every aggregation beside PyG's, on random batches with graphs that have no nodes.

PyG is given the graphs one after the other; ours gets their nodes mixed, among padding of NaN.
"""

import functools
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.nn import aggr

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, state_dict, to_pyg
from jraphx_eqx.nn import aggr as layers
from jraphx_eqx.parity import lanes_of, run

from .catalogue import DIVERGENCES, OPERATORS, SPECS
from .test_catalogue import check

pytestmark = pytest.mark.usefixtures("quick_compile")

AGGREGATIONS = [name for name in SPECS if OPERATORS[name].layer in vars(layers).values()]
BATCHES = int(os.environ.get("JRAPHX_EQX_BATCHES", "100"))
GRAPHS, LARGEST, WIDTH = 5, 6, 4
NODES = GRAPHS * LARGEST + 2


@dataclass(frozen=True)
class Case:
    """`make` makes PyG's module. `options` are of its call, and `ours` of ours.

    With `first` the first graph has nodes: PyG fails without.
    """

    make: Callable[[], Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    first: bool = False


def mlp(*widths, **options):
    return pyg.MLP(list(widths), **options)


def gated_by_feature():
    gate = mlp(WIDTH, 3, WIDTH, norm="layer_norm")
    return aggr.AttentionalAggregation(gate, nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()))


def quantile(*args, **options):
    return Case(lambda: aggr.QuantileAggregation(*args, **options), first=True)


def deep_sets():
    local = nn.Sequential(nn.Linear(WIDTH, 5), nn.Tanh())
    return aggr.DeepSetsAggregation(local, mlp(5, 4, 3, act="tanh", norm=None))


def scaled(**options):
    names = ["identity", "amplification", "attenuation", "linear", "inverse_linear"]
    return aggr.DegreeScalerAggregation(["mean", "max"], names, DEGREES, **options)


def equilibrium():
    module = aggr.EquilibriumAggregation(WIDTH, 3, [5, 4], grad_iter=2)

    def start(dim_size):
        return torch.zeros(dim_size, 3, dtype=module.lamb.dtype, requires_grad=True)

    module.init_output = start  # PyG's is in float32, whatever the dtype
    return module


DEGREES = torch.tensor([1, 4, 3, 2])
# What PyG pads with counts in these.
ROOM = {"options": {"max_num_elements": LARGEST}, "ours": {"max_rows": LARGEST}}


# One configuration of each, for a thousand batches. The catalogue compares the others.
CASES = {
    "sum": Case(aggr.SumAggregation),
    "mean": Case(aggr.MeanAggregation),
    "max": Case(aggr.MaxAggregation),
    "min": Case(aggr.MinAggregation),
    "mul": Case(aggr.MulAggregation),
    "var": Case(aggr.VarAggregation),
    "std": Case(aggr.StdAggregation),
    "variance preserving": Case(aggr.VariancePreservingAggregation),
    "softmax": Case(aggr.SoftmaxAggregation),
    "power mean": Case(lambda: aggr.PowerMeanAggregation(2.0)),
    "median": Case(lambda: aggr.MedianAggregation(fill_value=7.0), first=True),
    "quantile": quantile([0.25, 0.75, 1.0]),
    "sort": Case(lambda: aggr.SortAggregation(3)),
    "set2set": Case(lambda: aggr.Set2Set(WIDTH, 3)),
    "attentional": Case(gated_by_feature),
    "deep sets": Case(deep_sets),
    "multi": Case(lambda: aggr.MultiAggregation(["mean", "std", "softmax"])),
    "degree scaler": Case(scaled),
    "lstm": Case(lambda: aggr.LSTMAggregation(WIDTH, 3), **ROOM),
    "gru": Case(lambda: aggr.GRUAggregation(WIDTH, 3, bias=False), **ROOM),
    "lcm": Case(lambda: aggr.LCMAggregation(WIDTH, 3), **ROOM),
    "mlp": Case(
        lambda: aggr.MLPAggregation(
            WIDTH, 3, LARGEST, hidden_channels=5, num_layers=2, act="tanh", norm=None
        )
    ),
    "set transformer": Case(
        lambda: aggr.SetTransformerAggregation(WIDTH, 2, heads=2, layer_norm=True)
    ),
    "graph multiset transformer": Case(lambda: aggr.GraphMultisetTransformer(WIDTH, 3, heads=2)),
    "equilibrium": Case(equilibrium),
    "patch transformer": Case(
        lambda: aggr.PatchTransformerAggregation(
            WIDTH, 3, 2, 4, heads=2, aggr=["sum", "max", "min", "var", "std"]
        ),
        **ROOM,
    ),
}
# Options that no entry of the catalogue has.
MORE = {
    "power mean plain": Case(aggr.PowerMeanAggregation),
    "quantile higher": quantile(0.625, "higher"),
    "quantile midpoint": quantile(0.25, "midpoint", 3.0),
    "set2set layers": Case(lambda: aggr.Set2Set(WIDTH, 2, num_layers=2, bias=False)),
    **{
        f"multi {mode}": Case(functools.partial(aggr.MultiAggregation, ["mean", "max"], mode=mode))
        for mode in ("sum", "mean", "min", "logsumexp", "var")
    },
    "lstm layers": Case(
        lambda: aggr.LSTMAggregation(WIDTH, 2, num_layers=2, bidirectional=True), **ROOM
    ),
    "lcm plain": Case(lambda: aggr.LCMAggregation(WIDTH, WIDTH, project=False), **ROOM),
    "set transformer concat": Case(lambda: aggr.SetTransformerAggregation(WIDTH, 2, 2, 0)),
}
ALL = {**CASES, **MORE}
FEW = ("mean", "softmax", "quantile")


def made(name):
    torch.manual_seed(zlib.crc32(name.encode()))
    module = ALL[name].make().double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def random_batch(seed, first=False):
    """Features, the graph of each node, and for each node its row among ours."""
    rng = np.random.default_rng([seed, 7])
    sizes = rng.integers(0, LARGEST + 1, GRAPHS)
    sizes[rng.integers(1, GRAPHS)] = 0
    sizes[0] = max(sizes[0], int(first))
    index = np.repeat(np.arange(GRAPHS), sizes)
    x = rng.normal(size=(len(index), WIDTH))
    places = np.sort(rng.permutation(NODES)[: len(index)])
    mixed = rng.permutation(len(index))
    rows = np.empty(len(index), np.int64)
    for graph in range(GRAPHS):  # the nodes of a graph keep their order
        rows[index == graph] = np.sort(places[mixed[index == graph]])
    return x, index, rows


def by_cost(name):
    """Eager calls of what has many operations take long."""
    return pytest.param(name, marks=pytest.mark.full) if OPERATORS[name].cost > 2 else name


def their_side(module, case, x, index, cotangent):
    x = torch.tensor(x, requires_grad=True)
    out = module(x, torch.tensor(index), dim_size=GRAPHS, **case.options)
    names = [name for name, _ in module.named_parameters()]
    parameters = [parameter for _, parameter in module.named_parameters()]
    cotangent = torch.tensor(cotangent(out.shape), dtype=out.dtype)
    found = torch.autograd.grad(out, [x, *parameters], cotangent, allow_unused=True)
    found = [torch.zeros(()) if one is None else one for one in found]
    grads = {f"d.{n}": g.numpy() for n, g in zip(["x", *names], found, strict=True)}
    return {"out": out.detach().numpy(), **grads}


def cotangents(seed):
    return lambda shape: np.random.default_rng([seed, 8]).normal(size=shape)


def padded(x, index, rows):
    full = np.full((NODES, WIDTH), np.nan)
    batch = np.full(NODES, GRAPHS, np.int32)
    full[rows], batch[rows] = x, index
    return jnp.asarray(full), BatchVector(jnp.asarray(batch), GRAPHS)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_every_aggregation_in_the_lanes_of_the_catalogue(name):
    spec, given = SPECS[name], OPERATORS[name].cases(0)
    lanes = [lane for lane in lanes_of(spec) if lane != "metamorphic"]
    at = {"pairing": "rotate", "complete": True, "quick": True, "divergences": DIVERGENCES}
    check(run(spec, given, lanes=lanes, **at))


@pytest.mark.parametrize("name", [by_cost(name) for name in AGGREGATIONS])
def test_what_must_change_nothing(name):
    spec, [case, *_] = SPECS[name], OPERATORS[name].cases(0)
    at = {"configs": spec.grid[:1], "quick": True, "divergences": DIVERGENCES, "vacuous": {}}
    check(run(spec, [case], lanes=["metamorphic"], **at))


def chosen():
    """What no other test compares, and a few of the others."""
    for name in ALL:
        always = name in MORE or name in FEW
        yield name if always else pytest.param(name, marks=pytest.mark.full)


@pytest.mark.parametrize("name", list(chosen()))
def test_many_batches_by_one_program(name):
    case, theirs, traces = ALL[name], made(name), []

    @eqx.filter_jit
    def ours(layer, x, batch, cotangent):
        traces.append(name)
        given = layer, x
        out, back = eqx.filter_vjp(lambda given: given[0](given[1], batch, **case.ours), given)
        return out, *back(cotangent)[0]

    with jax.enable_x64(True):
        layer = from_pyg(theirs)
        for seed in range(12 if name in MORE else BATCHES):
            x, index, rows = random_batch(seed, case.first)
            expected = their_side(theirs, case, x, index, cotangents(seed))
            cotangent = jnp.asarray(cotangents(seed)(expected["out"].shape))
            out, gradients, dx = ours(layer, *padded(x, index, rows), cotangent)
            assert not np.any(np.delete(dx, rows, axis=0))
            found = {"out": out, "d.x": dx[rows]}
            found |= {f"d.{name}": array for name, array in state_dict(gradients).items()}
            relative = 1e-12 * cancelled(name, x, index)
            for tensor, right in expected.items():
                left = found[tensor]
                assert left.dtype == np.float64 and right.shape in (left.shape, ())
                error, scale = (np.abs(of).max(initial=0) for of in (left - right, right))
                assert error <= relative * scale + 1e-14, (tensor, seed)
    assert len(traces) == 1


def cancelled(name, x, index):
    """By how much PyG loses more in deviations: it subtracts squares, we square differences.

    Deviations of 0 are left out; both frameworks have them where the variance is at most 1e-5.
    """
    if name not in ("std", "multi"):
        return 1
    graphs = [x[index == graph] for graph in np.unique(index)]
    squares = np.array([np.mean(graph**2, axis=0) for graph in graphs])
    variances = np.array([np.var(graph, axis=0) for graph in graphs])
    return np.max(squares / np.where(variances > 1e-5, variances, np.inf), initial=1)


@pytest.mark.parametrize("name", MORE)
def test_layers_go_to_pyg_and_come_from_it(name):
    theirs = made(name).float()
    ours = from_pyg(theirs)
    again = to_pyg(ours)
    assert type(again) is type(theirs)
    expected = theirs.state_dict()
    assert list(state_dict(ours)) == list(state_dict(from_pyg(again)))
    assert {n: tuple(a.shape) for n, a in state_dict(ours).items()} == {
        n: tuple(a.shape) for n, a in expected.items()
    }
    x, index, _ = random_batch(3, ALL[name].first)
    x, index, options = (
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(index),
        ALL[name].options,
    )
    left, right = (side(x, index, dim_size=GRAPHS, **options) for side in (again, theirs))
    assert torch.equal(left, right)
