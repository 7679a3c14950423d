import ast
import contextlib
import gc
import importlib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._candidate import clear_caches

MARK = "__fault_reached__"


@dataclass(frozen=True)
class Edit:
    """A change of the source of one function. Calling it gives a context in which it is in force.

    The function object stays the same and gets other code, so whoever imported it by name, bound it
    as a method or decorated it also runs the changed code.

    **Arguments:**

    - `place`: the function, as `"package.module:function"` or `"package.module:Class.method"`.
    - `old`: text that occurs exactly once in its source.
    - `new`: what to write there instead.

    **Raises:** on entering, `ValueError` if there is no such function or text, if the change is not
    one of the function's body, and if the function does not exist any more.
    """

    place: str
    old: str
    new: str

    def __call__(self) -> contextlib.AbstractContextManager[Callable[[], bool]]:
        """The context. It yields a function that says whether the changed lines were run."""
        return _in_force(self)

    def code(self) -> types.CodeType:
        """The changed function's code. Raises where the text does not fit, as entering does."""
        _, file = _module(self)
        source = Path(file).read_text(encoding="utf-8")
        return _edited(self, source, file, self.place.partition(":")[2])


@dataclass(frozen=True)
class Fault:
    """A mistake to be made on purpose, to see whether the comparison notices.

    **Arguments:**

    - `name`: a few words.
    - `inject`: returns a context in which the mistake is in force: an
        [`Edit`][jraphx_eqx.parity.Edit] or any other. If the context yields a function, that must
        say whether the faulty code was run.
    - `description`: what is wrong, for reports. For an `Edit` by default what it changes.
    - `operators`: names of the specs it concerns; all if empty.
    - `likely`: text in the name of a configuration, case or lane that is likely to notice. Those
        are tried first.
    """

    name: str
    inject: Callable[[], contextlib.AbstractContextManager[Any]]
    description: str = ""
    operators: tuple[str, ...] = ()
    likely: str = ""

    @property
    def summary(self) -> str:
        """The description."""
        edit = self.inject
        if self.description or not isinstance(edit, Edit):
            return self.description
        old, new = (" ".join(text.split()) for text in (edit.old, edit.new))
        return f"{edit.place.partition(':')[2]}: {old} → {new}"


@contextlib.contextmanager
def injected(fault: Fault) -> Iterator[Callable[[], Any]]:
    """A context with a fault. Yields whether the faulty code was run, `None` if that is unknown.

    Nothing that was traced outside is used inside, and the other way round.
    """
    clear_caches()
    try:
        with fault.inject() as reached:
            yield reached if callable(reached) else lambda: None
    finally:
        clear_caches()


@contextlib.contextmanager
def _in_force(edit: Edit) -> Iterator[Callable[[], bool]]:
    module, file = _module(edit)
    code = edit.code()
    functions = _functions(code.co_qualname, file)
    if not functions or any(
        len(f.__code__.co_freevars) != len(code.co_freevars) for f in functions
    ):
        raise ValueError(f"{edit.place} cannot be changed: it does not exist as a function now")
    before = [(function, function.__code__) for function in functions]
    reached: list[None] = []
    module.__dict__[MARK] = lambda: reached.append(None)
    try:
        for function in functions:
            function.__code__ = code
        yield lambda: bool(reached)
    finally:
        for function, old in before:
            function.__code__ = old
        del module.__dict__[MARK]


def _module(edit: Edit) -> tuple[types.ModuleType, str]:
    module = importlib.import_module(edit.place.partition(":")[0])
    assert module.__file__ is not None
    return module, module.__file__


def _functions(name: str, file: str) -> list[types.FunctionType]:
    """All function objects with the code of this name, whatever they are wrapped in."""
    return [
        found
        for found in gc.get_objects()
        if type(found) is types.FunctionType
        and found.__code__.co_filename == file
        and found.__code__.co_qualname == name
    ]


def _edited(edit: Edit, source: str, file: str, name: str) -> types.CodeType:
    """The code of the changed function, which says when the changed lines are run."""
    node = _find(ast.parse(source), name, edit.place)
    lines = source.splitlines(keepends=True)
    text = "".join(lines[node.lineno - 1 : node.end_lineno])
    count = text.count(edit.old)
    if count != 1 or edit.old == edit.new:
        raise ValueError(
            f"{edit.place} must contain {edit.old!r} exactly once, and another text must replace "
            f"it; it occurs {count} times"
        )
    first = node.lineno + text[: text.index(edit.old)].count("\n")
    last = first + edit.new.count("\n")
    if first < node.body[0].lineno:
        raise ValueError(f"only the body of {edit.place} can be changed, not its signature")
    lines[node.lineno - 1 : node.end_lineno] = [text.replace(edit.old, edit.new)]
    tree = ast.parse("".join(lines), file)
    _mark(_find(tree, name, edit.place), first, last)
    whole = compile(ast.fix_missing_locations(tree), file, "exec", dont_inherit=True)
    [code] = _codes(whole, name)
    return code


def _find(tree: ast.Module, name: str, place: str) -> ast.FunctionDef:
    found: Any = tree
    for part in name.split("."):
        within = (n for n in found.body if getattr(n, "name", None) == part)
        found = next(within, None)
        if found is None:
            break
    if not isinstance(found, ast.FunctionDef):
        raise ValueError(f"{place} is not a function or method; write 'module:Class.method'")
    return found


def _mark(function: ast.FunctionDef, first: int, last: int) -> None:
    """Puts a call before the smallest statement that the lines are in."""
    blocks = [
        block
        for node in ast.walk(function)
        for name in ("body", "orelse", "finalbody")
        if isinstance(block := getattr(node, name, None), list)
    ]
    spans = [
        (at.end_lineno - at.lineno, -at.lineno, block, at)
        for block in blocks
        for at in block
        if at.lineno <= last and at.end_lineno >= first
    ]
    _, _, block, at = min(
        spans, key=lambda s: s[:2], default=(0, 0, function.body, function.body[0])
    )
    block.insert(block.index(at), ast.copy_location(ast.parse(f"{MARK}()").body[0], at))


def _codes(code: types.CodeType, name: str) -> list[types.CodeType]:
    """The code of this name among all that is in a module."""
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    own = [code] if code.co_qualname == name else []
    return own + [found for part in inner for found in _codes(part, name)]
