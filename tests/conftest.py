import sys
from pathlib import Path

import jax
import pytest

sys.path.append(str(Path(__file__).parents[1]))  # where the catalogue is

from parity_tests._programs import few_programs, quick_compile, rare_collection  # noqa: F401


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
