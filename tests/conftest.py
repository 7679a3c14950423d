import jax
import pytest


@pytest.fixture
def x64():
    """64 bit types, for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def quick_compile():
    """For tests of how a program is traced, whose time is all spent in the compiler."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
