import functools

import torch
import torch_geometric
import torch_geometric.nn as pyg
from torch_geometric.utils import scatter

from ._inputs import Inputs
from ._operations import Operations
from ._pyg_classifier import CONVS, training_step
from ._workloads import BOTH, CLASSIFIERS, FORWARD, POOLS, STEP, class_and_scorer

version = {"torch": torch.__version__, "torch_geometric": torch_geometric.__version__}
set_threads = torch.set_num_threads


def set_device(device: str) -> str:
    """Returns its name. Tensors and modules that are made after this are there."""
    if device == "cpu":
        return device
    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no gpu")
    torch.set_default_device("cuda")
    return torch.cuda.get_device_name()


def device_memory() -> tuple[int, int]:
    """Bytes of a GPU that are in use, and the most that were since this was last called."""
    found = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return found


def _min_pool(x, batch, size):
    """PyG has none by name; this is how it makes the other global pools."""
    return scatter(x, batch, dim_size=size, reduce="min")


GLOBAL = {
    "global_add_pool": pyg.global_add_pool,
    "global_mean_pool": pyg.global_mean_pool,
    "global_max_pool": pyg.global_max_pool,
    "global_min_pool": _min_pool,
}


def operations(inputs: Inputs, compiled=lambda function: function, pools=GLOBAL) -> Operations:
    """As in `_ours`, in eager mode, which is how PyG is used, unless `compiled` is given."""
    x = torch.as_tensor(inputs.x)
    edge_index = torch.as_tensor(inputs.edge_index).long()
    batch = torch.as_tensor(inputs.batch).long()
    out: Operations = {}
    for name, function in pools.items():
        arguments = (compiled, function, x, batch, inputs)
        out[name, FORWARD] = functools.partial(_global_forward, *arguments)
        out[name, BOTH] = functools.partial(_global_both, *arguments)
    for name in POOLS:
        arguments = (compiled, name, x, edge_index, batch)
        out[name, FORWARD] = functools.partial(_layer_forward, *arguments)
        out[name, BOTH] = functools.partial(_layer_both, *arguments, inputs)
    for name in CLASSIFIERS:
        arguments = (compiled, name, inputs, x, edge_index, batch)
        out[name, STEP] = functools.partial(training_step, *arguments)
    return {key: functools.partial(_waiting, make) for key, make in out.items()}


def _waiting(make):
    """A GPU works on when a function has returned."""
    function = make()
    if torch.get_default_device().type == "cpu":
        return function

    def call():
        out = function()
        torch.cuda.synchronize()
        return out

    return call


def _global_forward(compiled, function, x, batch, inputs):
    function = compiled(function)
    return torch.no_grad()(lambda: function(x, batch, inputs.num_graphs))


def _global_both(compiled, function, x, batch, inputs):
    function = compiled(function)
    cotangent = torch.as_tensor(inputs.cotangent((inputs.num_graphs, x.shape[1])))
    return _both(lambda x: (function(x, batch, inputs.num_graphs),), x, (), cotangent)


def _layer_forward(compiled, name, x, edge_index, batch):
    pool = compiled(_layer(name, x))
    return torch.no_grad()(lambda: pool(x, edge_index, batch=batch))


def _layer_both(compiled, name, x, edge_index, batch, inputs):
    pool = _layer(name, x)
    parameters = tuple(pool.parameters())
    pool = compiled(pool)
    cotangent = torch.as_tensor(inputs.cotangent((inputs.kept, x.shape[1])))
    return _both(lambda x: pool(x, edge_index, batch=batch), x, parameters, cotangent)


def _both(function, x, parameters, cotangent):
    def both():
        leaf = x.detach().requires_grad_()
        out = function(leaf)
        return out, torch.autograd.grad(out[0], (leaf, *parameters), cotangent)

    return both


def _layer(name, x):
    torch.manual_seed(0)
    kind, scorer = class_and_scorer(name)
    options = {"GNN": CONVS[scorer]} if scorer else {}
    return getattr(pyg, kind)(x.shape[1], **options).to(x.dtype)
