"""Importing the package costs about as much as that of JAX and Equinox, or less."""

import os
import subprocess
import sys

LOADED = """
import sys
import jraphx_eqx.nn.pool
print(*sorted(sys.modules))
"""

TIMES = """
import time
import equinox, jax, jax.numpy
start = time.process_time()
import jraphx_eqx.nn.pool
print(start, time.process_time() - start)
"""


def output(code, **env):
    command, env = [sys.executable, "-c", code], {**os.environ, **env}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return run.stdout.split()


def test_nothing_is_imported_that_no_layer_needs():
    modules = output(LOADED)
    assert "jraphx_eqx.nn.pool" in modules and "jaxtyping" in modules
    unused = ("interop", "loading", "parity", "report", "cli", "viz")
    assert not {"torch", *(f"jraphx_eqx.{name}" for name in unused)} & set(modules)


def test_the_package_takes_little_more_time_than_jax_and_equinox(tmp_path):
    # The ratio of two processor times of one process, as the machine may be busy. It is 0.8 to 1.15
    # with Python's cache of compiled modules, which the first import fills; three quarters of it
    # are jaxtyping's decorator, 0.4 ms for each of 2,000 functions.
    cached = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    output(TIMES, **cached)
    before, ours = map(float, output(TIMES, **cached))
    assert ours < 1.6 * before


def test_what_is_imported_later_is_checked_too():
    code = """
import jraphx_eqx
from jraphx_eqx.interop import read_state_dict
try:
    read_state_dict(3)
except Exception as error:
    print(type(error).__name__)
print(jraphx_eqx.interop.read_state_dict is read_state_dict)
"""
    assert output(code) == ["TypeCheckError", "True"]


def test_what_no_layer_needs_is_there_when_it_is_asked_for():
    code = "import jraphx_eqx as j; print(j.__version__, j.parity.run.__name__, j.fit.__name__)"
    assert output(code) == ["0.1.0", "run", "jraphx_eqx.fit"]
