"""What tests compile: quickly, and not too much of it at a time."""

import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import pytest
from jax._src import compiler

from jraphx_eqx.parity._candidate import quick_options

MOST = 20_000
_MAPS = Path("/proc/self/maps")
_tests = itertools.count()


def keep_few() -> None:
    """Forgets all compiled programs where there are many.

    Linux lets a process map only so much memory, and each program takes some: at about 65,000
    maps the process ends.
    """
    if _MAPS.exists() and _MAPS.read_text().count("\n") > MOST:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def few_programs() -> Iterator[None]:
    yield
    if next(_tests) % 8 == 0:  # To count takes some milliseconds.
        keep_few()


@pytest.fixture(autouse=True, scope="session")
def rare_collection() -> None:
    """What is imported or compiled stays, so there is little garbage among what is looked at."""
    gc.set_threshold(100_000, 50, 50)


def options_of_tests() -> dict[str, Any]:
    """Those of XLA that `quick_compile` sets."""
    return {} if "FULL_OPTIMIZATION" in os.environ else quick_options() or {}


@pytest.fixture(scope="module")
def quick_compile() -> Iterator[None]:
    """For tests whose time is all spent in the compiler: LLVM optimises less.

    XLA's own rewriting of programs stays as it is. `FULL_OPTIMIZATION=1` compiles as for users.
    """
    options = options_of_tests()
    if not options:
        yield
        return
    given = compiler.get_compile_options

    def quickly(*args, env_options_overrides=None, **more):
        overrides = {**options, **(env_options_overrides or {})}
        return given(*args, env_options_overrides=overrides, **more)

    # JAX has a setting for some of these options only, and none for the one that matters most.
    with mock.patch.object(compiler, "get_compile_options", quickly):
        yield
