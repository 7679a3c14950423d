"""`keep_memory` is for a whole process, so each test has one of its own."""

import os
import subprocess
import sys

import pytest

from jraphx_eqx.loading import _keep_memory, keep_memory

FAULTS = """
import resource, sys
import jax, jax.numpy as jnp
from jraphx_eqx.loading import keep_memory
if "keep" in sys.argv:
    keep_memory()
x = jnp.zeros(10**7)  # 38 MiB, more than glibc ever keeps by itself
call = jax.jit(lambda x: x + 1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(2):
        call(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(20)))  # it takes some calls until there is enough of it
keep_memory()  # too late
"""


def run(code, *arguments):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not _keep_memory._has_glibc(), reason="another C library than glibc")
def test_memory_that_is_kept_is_not_cleared_again_and_it_can_be_too_late():
    kept, not_kept = (run(FAULTS, *how) for how in (["keep"], []))
    assert int(kept.stdout) < 100 < 9_000 < int(not_kept.stdout)
    assert "RuntimeError: keep_memory must be called before JAX computes" in kept.stderr


def test_it_warns_where_it_does_not_apply(monkeypatch):
    monkeypatch.setattr(os, "confstr", lambda name: None)
    with pytest.warns(UserWarning, match="keep_memory does nothing here: it needs glibc"):
        keep_memory()
