"""The code of the README and the documentation runs, and prints what is shown below it.

On each page, the Python blocks are run in their order, in one namespace. A text block right after
a Python block is what that block prints.
"""

import contextlib
import importlib
import io
import pathlib
import re
import types

import pytest

pytestmark = pytest.mark.usefixtures("quick_compile")

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_TOKEN = re.compile(r"[-+]?\d+\.\d*(?:e[-+]?\d+)?|\w+|[^\w\s]")


def blocks(text: str) -> list[tuple[str, str, int]]:
    """Language, code and first line of each block."""
    found = _BLOCK.finditer(text)
    return [(b[1], b[2], text.count("\n", 0, b.start(2))) for b in found]


def check_page(text: str, name: str) -> None:
    namespace = {"__name__": name}
    printed = ""
    for language, code, line in [*blocks(text), ("python", "", 0)]:
        if language == "python":
            assert not printed, f"{name}:{line}: the block before prints this unseen\n{printed}"
            with contextlib.redirect_stdout(io.StringIO()) as stdout:
                exec(compile("\n" * line + code, name, "exec"), namespace)
            printed = stdout.getvalue()
        elif language == "text":
            assert same(code, printed), f"{name}:{line}: shown\n{code}\nbut printed\n{printed}"
            printed = ""


def same(shown: str, printed: str) -> bool:
    """Equal except for white space and the last digits of floats."""
    pairs = _TOKEN.findall(shown), _TOKEN.findall(printed)
    return len(pairs[0]) == len(pairs[1]) and all(map(_same_token, *pairs))


def _same_token(shown: str, printed: str) -> bool:
    if re.match(r"[-+]?\d+\.", shown) and re.match(r"[-+]?\d+\.", printed):
        return float(printed) == pytest.approx(float(shown), rel=1e-3, abs=1e-4)
    return shown == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_on_the_page_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    if "import torch" in text:
        pytest.importorskip("torch_geometric")
    check_page(text, page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_code_on_the_page_is_out_of_the_checkers_sight(page):
    fences = re.findall(r"^\s*(?:```|~~~).*$", page.read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page.read_text()))
    assert {language for language, *_ in blocks(page.read_text())} <= {"python", "text", "bash"}


@pytest.mark.parametrize(
    "shown", ["3", "[1.0 2.0]", "[1. 2.]\n", "[1.000001 2.]", "[ 1.  2.]"], ids=repr
)
def test_the_checker_tells_equal_output_from_other_output(shown):
    code = "import numpy as np\nprint(np.array([1.0, 2.0]))"
    page = f"```python\n{code}\n```\n\n```text\n{shown}\n```\n"
    if shown == "3":
        with pytest.raises(AssertionError, match="shown"):
            check_page(page, "page")
    else:
        check_page(page, "page")


def test_the_checker_lets_no_error_pass():
    with pytest.raises(ZeroDivisionError):
        check_page("```python\n1 / 0\n```\n", "page")


def test_the_checker_wants_all_output_to_be_shown():
    with pytest.raises(AssertionError, match="unseen"):
        check_page("```python\nprint(1)\n```\n", "page")


@pytest.mark.parametrize(
    "module",
    [
        "nn",
        "nn.aggr",
        "nn.pool",
        "nn.conv",
        "nn.dense",
        "nn.norm",
        "nn.models",
        "data",
        "loading",
        "viz",
        "ops",
        "interop",
        "parity",
        "report",
        "fit",
    ],
)
def test_every_public_name_is_in_the_api_pages(module):
    documented = set()
    for page in (ROOT / "docs" / "api").glob("*.md"):
        documented |= set(re.findall(r"::: jraphx_eqx\.(\S+)", page.read_text()))
    package = importlib.import_module(f"jraphx_eqx.{module}")
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public
    assert {f"{module}.{name}" for name in public} <= documented
