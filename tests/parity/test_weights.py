"""Weights are matched by name, and one that is left over is an error."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.parity import WeightMismatch, match


class Twin(eqx.Module):
    lin: eqx.nn.Linear
    layers: list
    slope: float = 0.2


@pytest.fixture
def twin():
    return Twin(eqx.nn.Linear(2, 3, use_bias=False, key=jax.random.key(0)), [jnp.zeros(4)])


WEIGHTS = {"lin.weight": np.ones((3, 2), np.float32), "layers.0": np.ones(4, np.float32)}


def test_names_are_paths_of_attributes_and_indices(twin):
    assert set(match(WEIGHTS, twin, {})) == {"lin.weight", "layers.0"}


def test_a_renamed_weight_is_found(twin):
    weights = {"w": WEIGHTS["lin.weight"], "layers.0": WEIGHTS["layers.0"]}
    assert set(match(weights, twin, {"w": "lin.weight"})) == {"lin.weight", "layers.0"}


@pytest.mark.parametrize(
    "weights, renames, part",
    [
        ({"lin.weight": WEIGHTS["lin.weight"]}, {}, "layers.0"),
        ({**WEIGHTS, "bias": np.ones(3)}, {}, "bias"),
        ({**WEIGHTS, "layers.0": np.ones(5)}, {}, "shape"),
        ({**WEIGHTS, "lin.weight": np.ones((2, 3))}, {}, "shape"),
        (WEIGHTS, {"gone": "lin.weight"}, "gone"),
        (WEIGHTS, {"layers.0": "lin.weight"}, "same leaf"),
    ],
)
def test_anything_left_over_or_misshapen_is_an_error(twin, weights, renames, part):
    with pytest.raises(WeightMismatch, match=part):
        match(weights, twin, renames)
