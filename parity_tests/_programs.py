"""What tests compile: quickly, and not too much of it at a time."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

MOST = 15_000
_MAPS = Path("/proc/self/maps")


def keep_few() -> None:
    """Forgets all compiled programs where there are many.

    Linux lets a process map only so much memory, and each program takes some: at about 65,000
    maps the process ends.
    """
    if _MAPS.exists() and _MAPS.read_text().count("\n") > MOST:
        jax.clear_caches()


@pytest.fixture(scope="module")
def quick_compile() -> Iterator[None]:
    """For tests whose time is all spent in the compiler: LLVM optimises less.

    XLA's own rewriting of programs stays as it is. `FULL_OPTIMIZATION=1` compiles as for users.
    """
    jax.config.update("jax_disable_most_optimizations", "FULL_OPTIMIZATION" not in os.environ)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
