import jax
import pytest


@pytest.fixture
def x64():
    """64 bit types, for one test."""
    with jax.enable_x64(True):
        yield
