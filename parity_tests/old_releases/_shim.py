"""What stands in for the compiled packages that old releases of PyG need.

Layers need no more of them than a scatter, which is written here with PyTorch.
"""

import collections.abc
import importlib.machinery
import inspect
import sys
import types
from typing import ClassVar

import torch


def scatter(src, index, dim=-1, out=None, dim_size=None, reduce="sum"):
    dim = dim % src.dim()
    size = list(src.shape)
    size[dim] = int(index.max()) + 1 if dim_size is None else dim_size
    full = index.view([-1 if i == dim else 1 for i in range(src.dim())]).expand_as(src)
    name = {"add": "sum", "max": "amax", "min": "amin"}.get(reduce, reduce)
    zeros = torch.zeros(size, dtype=src.dtype)
    return zeros.scatter_reduce(dim, full, src, name, include_self=False)


def scatter_with_argument(reduce):
    return lambda *args, **kwargs: (scatter(*args, **kwargs, reduce=reduce), None)


def unused(*args, **kwargs):
    raise NotImplementedError


class SparseTensor:
    """Only ever asked whether something is one."""


class Stub(types.ModuleType):
    """A module that has everything, as long as nobody uses it."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return unused


def install(release: str) -> None:
    """Makes `import torch_geometric` of that release possible."""
    torch.jit.script = lambda function=None, *args, **kwargs: function
    torch.jit._overload = lambda function: function
    inspect.getargspec = inspect.getfullargspec
    names = ["torch_scatter", "torch_scatter.utils", "torch_scatter.composite", "torch_sparse"]
    names += ["torch_spline_conv", "ase", "ase.data", "plyfile", "pandas", "rdflib", "h5py"]
    names += ["skimage", "skimage.segmentation", "numba", "community"]
    names += ["six", "six.moves", "google_drive_downloader", "googledrivedownloader"]
    # Later releases look for torch_cluster, and go without it.
    names += ["torch_cluster"] if release.startswith("1.4") else []
    for name in names:
        module = Stub(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__file__ = name
        sys.modules[name] = module
    sys.modules["torch_sparse"].SparseTensor = SparseTensor
    sys.modules["torch_sparse"].__version__ = "0.6.9"
    scatters = sys.modules["torch_scatter"]
    scatters.scatter = scatter
    for reduce in ("add", "mean"):
        setattr(scatters, f"scatter_{reduce}", _of(reduce))
    for reduce in ("max", "min"):
        setattr(scatters, f"scatter_{reduce}", scatter_with_argument(reduce))
    sys.modules["numba"].jit = lambda *args, **kwargs: lambda function: function
    six = types.ModuleType("torch._six")
    six.container_abcs, six.string_classes, six.int_classes = collections.abc, (str, bytes), int
    sys.modules["torch._six"] = six


def _of(reduce):
    return lambda *args, **kwargs: scatter(*args, **kwargs, reduce=reduce)
