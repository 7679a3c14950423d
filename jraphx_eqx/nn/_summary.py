from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax

from ._trainable import trainable
from .pool import AbstractPool, PoolOutput

_HEADER = ("layer", "class", "parameters", "output")


class LayerSummary(NamedTuple):
    """A layer in a [`summary`][jraphx_eqx.nn.summary].

    `name` is where it is in the model, `output` what it returned when it was last called: the room
    of a pooled batch, or shapes. It is empty for a layer that was not called by itself.
    """

    name: str
    kind: str
    parameters: int
    output: str


class Summary(tuple[LayerSummary, ...]):
    """The layers of a model, which prints as a table."""

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(layer.parameters for layer in self)

    def __str__(self) -> str:
        rows = [(name, kind, f"{count:,}", output) for name, kind, count, output in self]
        rows = [_HEADER, *rows, ("all", "", f"{self.parameters:,}", "")]
        name, kind, count, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = (f"{a:{name}}  {b:{kind}}  {c:>{count}}  {d}".rstrip() for a, b, c, d in rows)
        return "\n".join(lines)


def summary(model: Any, *args: Any, **kwargs: Any) -> Summary:
    """The layers of a model, their trainable parameters, and the room that poolings leave.

    Nothing is computed: the model is traced for shapes, as by `jax.eval_shape`.

    ```
    print(summary(model, batch))
    ```

    **Arguments:**

    - `model`: a module whose call takes the other arguments. The table has a row for each layer of
        this package and of `equinox.nn` in it, and for each other array. Layers that hold poolings
        are taken apart.
    - `args`, `kwargs`: what to call it with: arrays or `jax.ShapeDtypeStruct`. Without any, it is
        not called, and the table has no outputs.

    **Returns:** a `Summary`.
    """
    is_part = _is_part_of(model)
    learnt = jax.tree.map(lambda leaf, is_one: leaf if is_one else None, model, trainable(model))
    outputs: dict[str, str] = {}

    def watched(path: Any, part: Any) -> Any:
        if not isinstance(part, eqx.Module):
            return part
        return _Watched(part, lambda out: outputs.update({_name(path): _described(out)}))

    if args or kwargs:
        wrapped = jax.tree_util.tree_map_with_path(watched, model, is_leaf=is_part)
        eqx.filter_eval_shape(lambda given, named: wrapped(*given, **named), args, kwargs)
    parts = jax.tree_util.tree_leaves_with_path(model, is_leaf=is_part)
    sizes = map(_size, jax.tree.structure(model, is_leaf=is_part).flatten_up_to(learnt))
    return Summary(
        LayerSummary(_name(path), _kind(part), size, outputs.get(_name(path), ""))
        for (path, part), size in zip(parts, sizes, strict=True)
        if isinstance(part, eqx.Module) or size
    )


class _Watched(eqx.Module):
    """A layer of which `watch` sees what each call returns."""

    layer: Any
    watch: Callable[[Any], None] = eqx.field(static=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        out = self.layer(*args, **kwargs)
        self.watch(out)
        return out

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)


def _is_part_of(model: Any) -> Callable[[Any], bool]:
    def is_part(node: Any) -> bool:
        if not isinstance(node, eqx.Module) or (node is model and not _is_pooling(node)):
            return False
        ours = type(node).__module__.startswith(("jraphx_eqx.", "equinox.nn"))
        return ours and (_is_pooling(node) or not _holds_pooling(node))

    return is_part


def _holds_pooling(node: Any) -> bool:
    parts = jax.tree.leaves(node, is_leaf=_is_pooling)
    return any(map(_is_pooling, parts))


def _is_pooling(node: Any) -> bool:
    return isinstance(node, AbstractPool)


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _kind(part: Any) -> str:
    return "Array" if eqx.is_array(part) else type(part).__name__


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path).lstrip(".")


def _described(out: Any) -> str:
    if isinstance(out, PoolOutput):
        sizes = out.x.shape[0], out.edge_index.shape[1], out.batch.num_graphs
        return "{} nodes, {} edges, {} graphs".format(*sizes)
    return ", ".join(str(leaf.shape) for leaf in jax.tree.leaves(out))
