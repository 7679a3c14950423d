"""An edit reaches the code, whoever imported or decorated it, and leaves no trace."""

import functools
import sys
import types

import pytest

from jraphx_eqx.parity import Edit

SOURCE = '''
import functools


def loud(function):
    @functools.wraps(function)
    def wrapper(*given):
        return function(*given)

    return wrapper


def half(x, by=2):
    """Half of x."""
    if x < 0:
        return 0
    return x / by


@loud
def quarter(x):
    return half(x) / 2


class Halver:
    scale = 1

    def __call__(self, x):
        return self.scale * half(x)


def halver(by):
    def inner(x):
        return x / by + 0

    return inner
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    path = tmp_path / "some_module.py"
    path.write_text(SOURCE)
    module = types.ModuleType("some_module")
    module.__file__ = str(path)
    exec(compile(SOURCE, str(path), "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "some_module", module)
    return module


def edit(place, old, new):
    return Edit(f"some_module:{place}", old, new)()


def test_whoever_imported_the_function_by_name_runs_the_changed_code(module):
    half, halver = module.half, module.Halver()
    bound = functools.partial(half, 12)
    with edit("half", "return x / by", "return x / (by + 1)"):
        assert (half(12), bound(), module.quarter(12), halver(12)) == (4, 4, 2, 4)
    assert (half(12), bound(), module.quarter(12), halver(12)) == (6, 6, 3, 6)


def test_decorated_functions_methods_and_inner_functions_can_be_changed(module):
    inner = module.halver(2)
    with edit("quarter", "/ 2", "/ 3"):
        assert module.quarter(12) == 2
    with edit("Halver.__call__", "* half(x)", "- half(x)"):
        assert module.Halver()(12) == -5
    with edit("halver", "x / by + 0", "x / by + 1"):
        assert (module.halver(2)(12), inner(12)) == (7, 6)


def test_it_tells_whether_the_changed_lines_were_run(module):
    with edit("half", "return 0", "return 1") as reached:
        assert module.half(4) == 2 and not reached()
        assert module.half(-4) == 1 and reached()


def test_the_code_comes_back_after_an_error(module):
    before = dict(vars(module))
    with (
        pytest.raises(ZeroDivisionError),
        edit("half", "x / by", "x / 0"),
    ):
        module.half(4)
    assert module.half(4) == 2
    assert vars(module) == before


@pytest.mark.parametrize(
    "place, old, new, message",
    [
        ("half", "no such text", "", "exactly once.* it occurs 0 times"),
        ("half", "x", "y", "exactly once.* it occurs [2-9] times"),
        ("half", "x / by", "x / by", "another text must replace it"),
        ("half", "by=2", "by=3", "only the body"),
        ("Halver", "scale = 1", "scale = 2", "is not a function or method"),
        ("nothing", "x", "y", "is not a function or method"),
        ("Halver.nothing", "x", "y", "is not a function or method"),
    ],
)
def test_an_edit_that_does_not_fit_is_an_error(module, place, old, new, message):
    with pytest.raises(ValueError, match=message), edit(place, old, new):
        pass


def test_a_function_that_is_gone_is_an_error(module):
    del module.half
    module.Halver.__call__ = None
    del module.quarter
    with (
        pytest.raises(ValueError, match="does not exist as a function now"),
        edit("half", "/ by", "* by"),
    ):
        pass


def test_an_edit_that_is_no_python_is_an_error(module):
    with pytest.raises(SyntaxError), edit("half", "x / by", "x / / by"):
        pass
    assert module.half(4) == 2
