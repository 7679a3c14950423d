"""A compiler that leaves out rows is noticed. `nox -s miscompiled` runs this with one that does."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jraphx_eqx.parity import assert_parity

# From row 32,768 on it gives other numbers under `jit` on the CPU: jax-ml/jax#39103.
AFFECTED = jax.__version__ == "0.10.2"


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(3))

    def forward(self, x):
        return (x @ self.weight.T).square().sum(1)


class Ours(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return jax.vmap(lambda row: jnp.sum((self.weight @ row) ** 2))(x)


def test_rows_that_the_compiler_leaves_out_fail():
    x = np.random.default_rng(0).normal(size=(2**15 + 100, 3)).astype(np.float32)
    expected = pytest.raises(AssertionError, match="FAIL") if AFFECTED else contextlib.nullcontext()
    with expected:
        assert_parity(Ours(jnp.eye(3)), Theirs(), (x,), lanes=["f32"])
