"""Which mutants the other tests see: each in a process of its own, the quickest tests first."""

import json
import os
from collections.abc import Iterator, Sequence

# Nothing here starts JAX's threads, so that a process can fork; and no child has to import it.
import equinox
import hypothesis
import jax
import pytest

import jraphx_eqx  # noqa: F401

from .mutants import FOLDER, SWITCH

TESTS = ("tests/ops", "tests/nn", "tests/data", "tests/transformations", "tests/test_errors.py")
REACHED = FOLDER / "reached.json"
QUIET = ("-q", "-x", "--assert=plain", "-p", "no:cacheprovider")
assert equinox and hypothesis


class _Reached:
    """Notes which functions each test calls, and how long it takes."""

    def __init__(self):
        self.tests: dict[str, dict] = {}

    def pytest_runtest_setup(self, item):
        from mutmut.state import state

        jax.clear_caches()  # What is not traced again would not be noted.
        state()._stats.clear()

    def pytest_runtest_makereport(self, item, call):
        from mutmut.state import state

        if call.when == "call":
            functions = sorted(state()._stats)
            self.tests[item.nodeid] = {"seconds": call.duration, "functions": functions}

    def pytest_sessionfinish(self, session):
        REACHED.write_text(json.dumps(self.tests))


class _Killer:
    """Writes the first failure down."""

    def pytest_runtest_logreport(self, report):
        if report.failed:
            (FOLDER / "killer").write_text(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            (FOLDER / "killer").write_text(report.nodeid)


def judge(mutants: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The verdict on each mutant: its name, `"killed"` or `"survived"`, and by what."""
    if not mutants:
        return
    if not REACHED.exists():
        assert _forked(TESTS, _Reached(), "stats") == 0, "a test fails without any mutant"
    tests = json.loads(REACHED.read_text())
    for mutant in mutants:
        function = mutant.rpartition("__mutmut_")[0]
        chosen = [name for name, test in tests.items() if function in test["functions"]]
        chosen.sort(key=lambda name: tests[name]["seconds"])
        (FOLDER / "killer").write_text("")
        killed = bool(chosen) and _forked(chosen, _Killer(), mutant) != 0
        yield mutant, "killed" if killed else "survived", (FOLDER / "killer").read_text()


def _forked(tests: Sequence[str], plugin: object, mutant: str) -> int:
    """The exit status of pytest in a child."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ[SWITCH] = mutant
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
                status = int(pytest.main([*QUIET, *tests], plugins=[plugin]))
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
