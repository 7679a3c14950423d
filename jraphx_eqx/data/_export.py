import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.export
import jax.tree_util as jtu

from ._fields import unchecked


def register_serialization(cls: type[eqx.Module], name: str) -> None:
    """Lets `jax.export` write and read functions whose arguments or results are `cls`.

    The static fields are stored as JSON, under their names. Fields that hold arrays, `None`,
    dictionaries or other registered modules are handled by JAX.

    **Arguments:**

    - `cls`: a module whose static fields are integers, floats, booleans, strings or `None`.
    - `name`: identifies the class in the serialised bytes. Changing it makes old files unreadable.

    **Raises:** `ValueError` if `cls` or `name` is registered already.
    """
    fields = dataclasses.fields(cls)
    static = [f.name for f in fields if f.metadata.get("static", False)]
    dynamic = [f.name for f in fields if not f.metadata.get("static", False)]

    def serialize(aux: Any) -> bytes:
        module = _unflatten(cls, aux, len(dynamic))
        return _dump(cls, {k: getattr(module, k) for k in static})

    def from_children(aux_data: dict[str, Any], children: Sequence[Any]) -> eqx.Module:
        # The children are placeholders, which no check would accept.
        return unchecked(cls, aux_data | dict(zip(dynamic, children, strict=True)))

    jax.export.register_pytree_node_serialization(
        cls,
        serialized_name=name,
        serialize_auxdata=serialize,
        deserialize_auxdata=lambda data: json.loads(bytes(data)),
        from_children=from_children,
    )


def _unflatten(cls: type[eqx.Module], aux: Any, num_children: int) -> eqx.Module:
    # What Equinox keeps in `aux` is private to it, so its own unflatten function reads it.
    leaves = [0] * num_children
    leaf = jtu.tree_structure(0)
    treedef = jtu.PyTreeDef.from_node_data_and_children(
        jtu.default_registry, (cls, aux), [leaf] * num_children
    )
    return jtu.tree_unflatten(treedef, leaves)


def _dump(cls: type[eqx.Module], values: dict[str, Any]) -> bytes:
    for key, value in values.items():
        if type(value) not in (int, float, bool, str, type(None)):
            raise TypeError(
                f"{cls.__name__}.{key} cannot be serialised: expected an int, float, bool, str "
                f"or None, got {type(value).__name__}"
            )
    return json.dumps(values).encode()
