"""`bisect` names the first step that differs, `bisect_layers` the first layer."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jraphx_eqx.nn.pool import TopKPooling
from jraphx_eqx.parity import bisect, bisect_layers, graphs

from .catalogue import FEATURES, SPECS

CASE = graphs.random(0, features=FEATURES)
TOPK = SPECS["TopKPooling"]


class Doubled(TopKPooling):
    def reduce(self, x, select):
        return 2 * super().reduce(x, select)


class Reversed(TopKPooling):
    def connect(self, select, edge_index, *more):
        return super().connect(select, edge_index[::-1], *more)


def with_activation(function):
    def build(**options):
        return eqx.tree_at(lambda pool: pool.select.nonlinearity, TOPK.eqx(**options), function)

    return build


FAULTS = {
    "score": with_activation(lambda score: jnp.tanh(score) * (1 + 1e-12)),
    "reduce": lambda **options: Doubled(FEATURES, **options, key=jax.random.key(0)),
    "connect": lambda **options: Reversed(FEATURES, **options, key=jax.random.key(0)),
    "gradients": with_activation(lambda score: jax.lax.stop_gradient(jnp.tanh(score))),
}


@pytest.mark.parametrize("stage", FAULTS)
def test_the_first_stage_that_differs_is_found(stage):
    spec = dataclasses.replace(TOPK, eqx=FAULTS[stage])
    found = bisect(spec, spec.grid[0], CASE, repro="the command")
    assert found.stage == stage
    assert stage in str(found) and "repeat: the command" in str(found)


def test_a_selection_in_the_wrong_order_is_found_with_the_right_scores():
    def select(module, scores, inputs):
        return TOPK.decision(TOPK.grid[0]).select_eqx(module, -scores, inputs)

    def wrong(module, inputs, known):
        return {"perm": select(module, known["scores"], inputs)}

    stages = [
        dataclasses.replace(s, run_eqx=wrong) if s.name == "select" else s for s in TOPK.stages
    ]
    assert bisect(dataclasses.replace(TOPK, stages=stages), TOPK.grid[0], CASE).stage == "select"


def test_nothing_differs_in_a_faithful_twin():
    found = bisect(TOPK, TOPK.grid[4], CASE)
    assert found.stage is None and str(found) == "nothing differs"


def test_an_operator_without_stages_differs_as_a_whole():
    spec = SPECS["GCNConv"]
    wrong = dataclasses.replace(
        spec,
        call_eqx=lambda module, inputs: {"x": 2 * module(inputs["x"], inputs["edge_index"])},
    )
    assert bisect(wrong, spec.grid[0], CASE).stage == "call"


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


class Scaled(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    factor: float = 1.0

    def __call__(self, x):
        return self.factor * (x @ self.weight.T) + self.bias


class Ours(eqx.Module):
    first: eqx.nn.Linear
    second: Scaled
    activation: str = "relu"

    def __call__(self, x):
        x = jax.vmap(self.first)(x)
        return self.second(jax.nn.relu(x) if self.activation == "relu" else jax.nn.gelu(x))


X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def ours(factor=1.0, activation="relu"):
    first = eqx.nn.Linear(3, 4, key=jax.random.key(0))
    return Ours(first, Scaled(jnp.zeros((2, 4)), jnp.zeros(2), factor), activation)


@pytest.mark.parametrize(
    "twin, stage",
    [
        (ours(), None),
        (ours(factor=1.001), "second"),
        (ours(activation="gelu"), "between the layers"),
    ],
)
def test_the_first_layer_that_differs_is_found(twin, stage):
    found = bisect_layers(twin, Theirs(), [X])
    assert found.stage == stage
    assert {record.operator for record in found.records} >= {"first", "second"}
