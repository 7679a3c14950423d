import sys
from pathlib import Path

import jax
import pytest

sys.path.append(str(Path(__file__).parents[1]))  # where the catalogue is

from parity_tests._programs import quick_compile  # noqa: F401


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


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Linux lets a process map only so much memory, and each compiled program takes some."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > 50_000:
        jax.clear_caches()
