"""Graph pooling for JAX and Equinox, numerically equal to PyTorch Geometric."""

import importlib
from typing import TYPE_CHECKING

import jaxtyping as _jaxtyping

from . import _typecheck as _typecheck

if not _jaxtyping.config.jaxtyping_disable:
    # It stays, for what is imported later.
    _checked = [f"jraphx_eqx.{name}" for name in ("data", "interop", "loading", "nn", "ops", "viz")]
    _jaxtyping.install_import_hook(_checked, "jraphx_eqx._typecheck.on_first_call")

from . import data as data
from . import nn as nn
from . import ops as ops
from ._version import __version__ as __version__

if TYPE_CHECKING:
    from . import fit as fit
    from . import interop as interop
    from . import loading as loading
    from . import parity as parity
    from . import report as report
    from . import viz as viz


def __getattr__(name: str):
    # Imported when they are used, as no layer needs them.
    if name in ("fit", "interop", "loading", "parity", "report", "viz"):
        return importlib.import_module(f"jraphx_eqx.{name}")
    raise AttributeError(f"module 'jraphx_eqx' has no attribute {name!r}")
