from ..nn import Activation
from ._nonlinearity import TORCH_FUNCTIONS, in_place_too
from ._twins import Conversion, qualified_name, register, resolve

# Options that ours also have.
_OPTIONS = {
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "CELU": ("alpha",),
    "GELU": ("approximate",),
    "Softmax": ("dim",),
    "LogSoftmax": ("dim",),
}


def _from_pyg(class_name):
    def convert(module):
        kind = resolve(f"torch.nn.{class_name}")
        default, options = kind(), {}
        for name in getattr(module, "__constants__", ()):
            value = getattr(module, name)
            if value == getattr(default, name) or name == "inplace":  # which changes no value
                continue
            if name not in _OPTIONS.get(class_name, ()):
                raise ValueError(f"{qualified_name(module)} with {name}={value} has no twin")
            options[name] = value
        if class_name in ("Softmax", "LogSoftmax"):
            if module.dim is None:
                raise ValueError(f"{qualified_name(module)} must have a dim; make it dim=-1")
            options = {"dim": module.dim}
        return Activation(class_name, **options)

    return convert


def _to_pyg(layer):
    for class_name in (*TORCH_FUNCTIONS, *_OPTIONS):
        if class_name.lower() == layer.name:
            return resolve(f"torch.nn.{class_name}")(**dict(layer.options))
    # The names that only PyG has.
    return resolve("torch.nn.SiLU")()


for _name in (*TORCH_FUNCTIONS, "Softmax", "LogSoftmax"):
    if _name != "Identity":
        register(
            Conversion(f"torch.nn.{_name}", Activation, _from_pyg(_name), _to_pyg, listed=False)
        )
_functions = {
    f"{_owner}.{_function}": _name
    for _name, _plain in TORCH_FUNCTIONS.items()
    if _plain is not None
    for _function in in_place_too(_plain)
    for _owner in ("torch", "torch.nn.functional", "torch.Tensor")
}
for _theirs, _name in {**_functions, "torch_geometric.nn.resolver.swish": "SiLU"}.items():

    def _constant(_, name=_name):
        return Activation(name)

    register(Conversion(_theirs, Activation, _constant, _to_pyg, listed=False))
