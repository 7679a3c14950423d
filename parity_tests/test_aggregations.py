"""Every aggregation beside PyG's, on random batches with graphs that have no nodes.

PyG is given the graphs one after the other; ours gets their nodes mixed, among padding of NaN.
"""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
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

BATCHES = int(os.environ.get("JRAPHX_EQX_BATCHES", "12"))
GRAPHS, LARGEST, WIDTH = 5, 6, 4
NODES = GRAPHS * LARGEST + 2
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


@dataclass(frozen=True)
class Case:
    """`make` makes PyG's module. `options` are of its call, and `ours` of ours.

    With `first` the first graph has nodes: PyG fails without.
    """

    make: Callable[[], Any]
    options: Any = None
    ours: Any = None
    first: bool = False


def mlp(*widths, **options):
    return pyg.MLP(list(widths), **options)


def gated():
    # A softmax does not see a bias of its scores.
    gate = nn.Linear(WIDTH, 1, bias=False)
    return aggr.AttentionalAggregation(gate, nn.Linear(WIDTH, 3))


def gated_by_feature():
    gate = mlp(WIDTH, 3, WIDTH, norm="layer_norm")
    return aggr.AttentionalAggregation(gate, nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()))


def quantile(*args, **options):
    return Case(lambda: aggr.QuantileAggregation(*args, **options), first=True)


CASES = {
    "sum": Case(aggr.SumAggregation),
    "mean": Case(aggr.MeanAggregation),
    "max": Case(aggr.MaxAggregation),
    "min": Case(aggr.MinAggregation),
    "mul": Case(aggr.MulAggregation),
    "var": Case(aggr.VarAggregation),
    "var semi": Case(lambda: aggr.VarAggregation(semi_grad=True)),
    "std": Case(aggr.StdAggregation),
    "std semi": Case(lambda: aggr.StdAggregation(semi_grad=True)),
    "variance preserving": Case(aggr.VariancePreservingAggregation),
    "softmax": Case(aggr.SoftmaxAggregation),
    "softmax semi": Case(lambda: aggr.SoftmaxAggregation(0.3, semi_grad=True)),
    "softmax learnt": Case(lambda: aggr.SoftmaxAggregation(0.5, learn=True)),
    "softmax channels": Case(lambda: aggr.SoftmaxAggregation(0.5, learn=True, channels=WIDTH)),
    "power mean": Case(lambda: aggr.PowerMeanAggregation(2.0)),
    "power mean plain": Case(aggr.PowerMeanAggregation),
    "power mean learnt": Case(
        lambda: aggr.PowerMeanAggregation(1.5, learn=True, channels=WIDTH, clamp_max=1.0)
    ),
    "median": Case(lambda: aggr.MedianAggregation(fill_value=7.0), first=True),
    "quantiles": quantile([0.25, 0.75, 1.0]),
    "quantile lower": quantile(0.625, "lower"),
    "quantile higher": quantile(0.625, "higher"),
    "quantile midpoint": quantile(0.25, "midpoint", 3.0),
    "quantile nearest": quantile(0.4375, "nearest"),
    "sort": Case(lambda: aggr.SortAggregation(3)),
    "set2set": Case(lambda: aggr.Set2Set(WIDTH, 3)),
    "set2set layers": Case(lambda: aggr.Set2Set(WIDTH, 2, num_layers=2, bias=False)),
    "attentional": Case(gated),
    "attentional by feature": Case(gated_by_feature),
}


def made(name):
    torch.manual_seed(zlib.crc32(name.encode()))
    module = CASES[name].make().double().eval()
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


def their_side(module, case, x, index, cotangent):
    x = torch.tensor(x, requires_grad=True)
    options = {} if case.options is None else case.options(index)
    out = module(x, torch.tensor(index), dim_size=GRAPHS, **options)
    names = [name for name, _ in module.named_parameters()]
    parameters = [parameter for _, parameter in module.named_parameters()]
    cotangent = torch.tensor(cotangent(out.shape), dtype=out.dtype)
    found = torch.autograd.grad(out, [x, *parameters], cotangent, allow_unused=True)
    found = [torch.zeros(()) if one is None else one for one in found]
    grads = {f"d.{n}": g.numpy() for n, g in zip(["x", *names], found, strict=True)}
    return {"out": out.detach().numpy(), **grads}


def our_side(name, dtype):
    case, traces = CASES[name], []

    @eqx.filter_jit
    def run(layer, x, batch, cotangent):
        traces.append(name)
        options = {} if case.ours is None else case.ours

        def call(given):
            return given[0](given[1], batch, **options)

        out, back = eqx.filter_vjp(call, (layer, x))
        (grads, dx), out = back(cotangent)[0], out
        return out, dx, grads

    return run, traces


def cotangents(seed):
    return lambda shape: np.random.default_rng([seed, 8]).normal(size=shape)


def padded(x, index, rows, dtype):
    full = np.full((NODES, WIDTH), np.nan, dtype)
    batch = np.full(NODES, GRAPHS, np.int32)
    full[rows], batch[rows] = x, index
    return jnp.asarray(full), BatchVector(jnp.asarray(batch), GRAPHS)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_pyg(name):
    case, theirs = CASES[name], made(name)
    with jax.enable_x64(True):
        wide = from_pyg(theirs)
        narrow = jax.tree.map(
            lambda leaf: leaf.astype(np.float32) if eqx.is_inexact_array(leaf) else leaf, wide
        )
        single = made(name).float()
        single.load_state_dict(theirs.state_dict())
        sides = {"float64": (wide, theirs), "float32": (narrow, single)}
        programs = {dtype: our_side(name, dtype) for dtype in sides}
        for seed in range(BATCHES):
            x, index, rows = random_batch(seed, case.first)
            x = x.astype(np.float32)  # the same numbers on both sides, in both dtypes
            expected = their_side(theirs, case, x.astype(np.float64), index, cotangents(seed))
            rounded = their_side(single, case, x, index, cotangents(seed))
            for dtype, (layer, _) in sides.items():
                given, batch = padded(x, index, rows, dtype)
                cotangent = jnp.asarray(cotangents(seed)(expected["out"].shape), dtype)
                out, dx, grads = programs[dtype][0](layer, given, batch, cotangent)
                found = {"out": out, "d.x": dx[rows]}
                found |= {f"d.{n}": g for n, g in state_dict(grads).items()}
                mask = np.ones(NODES, bool)
                mask[rows] = False
                assert not np.any(np.asarray(dx)[mask])
                for key, right in expected.items():
                    left = np.asarray(found[key], np.float64)
                    assert found[key].dtype == dtype and left.shape == (right.shape or left.shape)
                    scale = np.abs(right).max(initial=0)
                    noise = np.abs(rounded[key] - right).max(initial=0) * EPS[dtype] / 2.0**-23
                    error = np.abs(left - right).max(initial=0)
                    assert error <= 8 * noise + 16 * EPS[dtype] * scale + 1e-300, (key, seed, dtype)
        assert all(len(traces) == 1 for _, traces in programs.values())


@pytest.mark.parametrize("name", CASES)
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
    x, index, _ = random_batch(3, CASES[name].first)
    options = {} if CASES[name].options is None else CASES[name].options(index)
    x, index = torch.tensor(x, dtype=torch.float32), torch.tensor(index)
    left, right = (side(x, index, dim_size=GRAPHS, **options) for side in (again, theirs))
    assert torch.equal(left, right)
