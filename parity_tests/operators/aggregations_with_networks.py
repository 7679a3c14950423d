"""Aggregations with networks inside, and those that combine others."""

import jax
import numpy as np

from jraphx_eqx.nn import Linear
from jraphx_eqx.nn import aggr as ours
from jraphx_eqx.nn.models import MLP
from jraphx_eqx.parity import Config

from .._operator import edits, pick
from ..families import segment
from ..families.aggr import ALONE, aggr, buffer, of, our_aggr, pyg_aggr
from ..families.common import WIDTH, undrawn
from .simple_aggregations import ATTEND

KEY = jax.random.key(0)
UNITS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
NORMED = ("0.weight", "0.bias", "1.weight", "1.bias")
SCALERS = ("identity", "amplification", "attenuation", "linear", "inverse_linear")
DEGREES = (1, 4, 3, 2)


def _pyg_attention(by_feature):
    import torch
    import torch_geometric.nn as pyg

    if by_feature:
        gate = pyg.MLP([WIDTH, 4, 2], act="tanh", norm=None, plain_last=False)
        return pyg.aggr.AttentionalAggregation(gate, torch.nn.Linear(WIDTH, 2))
    # A softmax does not see a bias of its scores.
    return pyg.aggr.AttentionalAggregation(torch.nn.Linear(WIDTH, 1, bias=False))


def _our_attention(by_feature):
    def make():
        if by_feature:
            gate = MLP([WIDTH, 4, 2], act="tanh", norm=None, plain_last=False, key=KEY)
            return ours.AttentionalAggregation(gate, Linear(WIDTH, 2, key=KEY))
        return ours.AttentionalAggregation(Linear(WIDTH, 1, bias=False, key=KEY))

    return undrawn(make)


def _pyg_deep_sets():
    import torch
    import torch_geometric.nn as pyg

    network = pyg.MLP([4, 3, 2], act="tanh", norm=None)
    return pyg.aggr.DeepSetsAggregation(torch.nn.Linear(WIDTH, 4), network)


def _our_deep_sets():
    def make():
        network = MLP([4, 3, 2], act="tanh", norm=None, key=KEY)
        return ours.DeepSetsAggregation(Linear(WIDTH, 4, key=KEY), network)

    return undrawn(make)


def _pyg_multi(aggrs, mode, mode_kwargs=None, **options):
    if mode_kwargs:
        more = {"in_channels": WIDTH, "out_channels": mode_kwargs["out_features"]}
        heads = {k: v for k, v in mode_kwargs.items() if k == "num_heads"}
        options["mode_kwargs"] = {**more, **heads}
    return pyg_aggr("MultiAggregation", list(aggrs), mode=mode, **options)


def _our_multi(aggrs, mode, mode_kwargs=None):
    return our_aggr(ours.MultiAggregation, aggrs, mode=mode, mode_kwargs=mode_kwargs)


def _pyg_scaler(train_norm):
    import torch

    degrees = torch.tensor(DEGREES)
    return pyg_aggr("DegreeScalerAggregation", ["mean", "max"], list(SCALERS), degrees, train_norm)


def _our_scaler(train_norm):
    degrees = np.asarray(DEGREES)
    return our_aggr(ours.DegreeScalerAggregation, ["mean", "max"], SCALERS, degrees, train_norm)


def _means(name, drawn):
    return 0.5 + np.abs(drawn)


def _pyg_equilibrium():
    import torch

    module = pyg_aggr("EquilibriumAggregation", WIDTH, 2, [4], grad_iter=2)

    def start(dim_size):
        return torch.zeros(dim_size, 2, dtype=module.lamb.dtype, requires_grad=True)

    module.init_output = start  # PyG's is in float32, whatever the dtype
    return module


def _shifts(tensor):
    # The energy is differentiated by y alone.
    names = ("layers.1.bias", "res_trans.0.bias", "res_trans.1.bias")
    return "a shift of the energy" if tensor.removeprefix("d.potential.") in names else None


def _multi(mode, aggrs=("mean", "max"), **mode_kwargs):
    mode_kwargs = {"in_features": WIDTH, **mode_kwargs} if mode_kwargs else None
    return Config({"aggrs": aggrs, "mode": mode, "mode_kwargs": mode_kwargs})


OPERATORS = (
    aggr(
        ours.AttentionalAggregation,
        *ATTEND,
        *of(
            ours.AttentionalAggregation,
            ("gate of what is weighted", "self.gate_mlp, x, batch", "self.gate_mlp, 2 * x, batch"),
            ("features are detached", "x = mask_rows(x,", "x = mask_rows(DETACHED(x),"),
        ),
        grid=(Config({"by_feature": False}), Config({"by_feature": True})),
        pyg=_pyg_attention,
        ours=_our_attention,
    ),
    aggr(
        ours.DeepSetsAggregation,
        *pick(segment.FAULTS, "sum in float32", "padding counts to the last graph"),
        *of(
            ours.DeepSetsAggregation,
            ("mean for a sum", "total = segment_sum(", "total = 0.5 * segment_sum("),
            ("no second network", "total if network is None", "total if True"),
            ("padding is not masked", "mask_rows(x, batch.node_mask)", "x"),
        ),
        pyg=_pyg_deep_sets,
        ours=_our_deep_sets,
    ),
    aggr(
        ours.Set2Set,
        *ATTEND,
        *of(
            ours.Set2Set,
            ("one step less", "range(self.processing_steps)", "range(self.processing_steps - 1)"),
            (
                "query and result change places",
                "[query, found], axis=1)\n        return",
                "[found, query], axis=1)\n        return",
            ),
            ("cell for query", "states[-1][0]", "states[-1][1]"),
        ),
        *edits(
            "nn._recurrent:lstm_step",
            ("gates change places", "i, f, g, o", "f, i, g, o"),
            ("state counts twice", "from_x + from_h", "from_x + 2 * from_h"),
        ),
        args=(WIDTH, 2),
        renames={f"lstm.{name}": f"lstm.parameters.{name}" for name in UNITS},
    ),
    aggr(
        ours.MultiAggregation,
        *of(
            ours.MultiAggregation,
            ("sum for a mean of attention", "jnp.mean(self.multi", "jnp.sum(self.multi", "attn"),
            (
                "backwards",
                "self.lin(jnp.concatenate(outs,",
                "self.lin(jnp.concatenate(outs[::-1],",
                "proj",
            ),
        ),
        *edits(
            "nn.aggr._multi:combined",
            ("biased", "ddof=1", "ddof=0", "mode=std"),
            (
                "ties share",
                "jnp.take_along_axis(x, search(x, axis=1, keepdims=True), axis=1)[:, 0]",
                "getattr(jnp, name)(x, axis=1)",
                "mode=max",
            ),
            (
                "last of equal ones",
                "search(x, axis=1, keepdims=True)",
                "x.shape[1] - 1 - search(x[:, ::-1], axis=1, keepdims=True)",
                "mode=max",
            ),
            (
                "deviation of 0 has no gradient",
                "jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))",
                "jnp.sqrt(variance)",
                "mode=std",
            ),
        ),
        grid=(
            _multi("attn", ("mean", "std"), out_features=4, num_heads=2),
            _multi("proj", out_features=2),
            _multi("max", ("max", "median")),  # on the case with ties
            _multi("std"),
        ),
        pyg=_pyg_multi,
        ours=_our_multi,
        expect_zero=buffer("aggrs.1.q"),
        cost=4,
    ),
    aggr(
        ours.DegreeScalerAggregation,
        *edits(
            "nn.aggr._degree_scaler:DegreeScalerAggregation._factor",
            ("logarithm of the degree", "jnp.log(degree + 1) / log", "jnp.log(degree) / log"),
            ("nothing divides", "jnp.maximum(degree, 1)", "degree"),
            ("means change places", "return degree / linear", "return degree / log"),
            (
                "means are detached",
                "means if self.train_norm",
                "map(jax.lax.stop_gradient, means) if self.train_norm",
                "train_norm=True",
            ),
        ),
        *of(
            ours.DegreeScalerAggregation,
            (
                "degrees of all",
                "segment_count(batch.index, batch.num_graphs)",
                "segment_count(batch.index * 0, batch.num_graphs)",
            ),
        ),
        grid=(Config({"train_norm": False}), Config({"train_norm": True})),
        pyg=_pyg_scaler,
        ours=_our_scaler,
        weights=_means,
    ),
    aggr(
        ours.EquilibriumAggregation,
        *of(
            ours.EquilibriumAggregation,
            ("penalty by the number of graphs", "if self.batch_mean else 1", "if True else 1"),
            ("no momentum", "momentum * velocity - rate", "-rate"),
            ("steps are detached", "jax.grad(cost)(y)", "DETACHED(jax.grad(cost)(y))"),
            ("penalty is not positive", "jax.nn.softplus(self.lamb[0])", "self.lamb[0]"),
        ),
        *edits(
            "nn.aggr._equilibrium:ResNetPotential.__call__",
            ("sum for a mean", "segment_mean(out, batch.index, batch.num_graphs)", "out"),
        ),
        args=(WIDTH, 2, [4], 2),
        grid=(Config({}, ALONE),),
        pyg=_pyg_equilibrium,
        expect_zero=_shifts,
        renames={
            f"potential.layers.0.{name}": f"potential.layers.0.layers.{name}" for name in NORMED
        },
        cost=4,
    ),
)
