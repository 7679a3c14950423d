"""Graph pooling for JAX and Equinox, numerically equal to PyTorch Geometric."""

import contextlib

# Everything that the package imports comes in before the hook, which would otherwise recompile it.
import beartype as _beartype  # noqa: F401
import equinox as _equinox  # noqa: F401
import jax as _jax  # noqa: F401
import jaxtyping as _jaxtyping
import numpy as _numpy  # noqa: F401

_checked = (
    contextlib.nullcontext()
    if _jaxtyping.config.jaxtyping_disable
    else _jaxtyping.install_import_hook("jraphx_eqx", "beartype.beartype")
)
with _checked:
    from . import data as data
    from . import interop as interop
    from . import nn as nn
    from . import ops as ops

del contextlib
