import os
import sys
from pathlib import Path

import jax
import pytest

sys.path.append(str(Path(__file__).parents[1]))  # where the catalogue is


@pytest.fixture
def x64():
    """64 bit types, for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def adds_in_order():
    """For tests of sums that depend on the order in which a CPU adds."""
    if jax.default_backend() != "cpu":
        pytest.skip("adds in another order than a CPU")


@pytest.fixture(scope="module")
def quick_compile():
    """For tests whose time is all spent in the compiler: LLVM optimises less.

    XLA's own rewriting of programs stays as it is. `FULL_OPTIMIZATION=1` compiles as for users.
    """
    jax.config.update("jax_disable_most_optimizations", "FULL_OPTIMIZATION" not in os.environ)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Linux lets a process map only so much memory, and each compiled program takes some."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > 50_000:
        jax.clear_caches()
