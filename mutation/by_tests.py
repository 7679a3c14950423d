"""Which mutants the other tests see: each in a process of its own, the quickest tests first."""

import json
import os
import signal
from collections.abc import Iterator, Sequence

# Nothing here starts JAX's threads, so that a process can fork; and no child has to import it.
import equinox
import hypothesis
import jax
import pytest

import jraphx_eqx._warn

from .mutants import FOLDER, SWITCH

TESTS = ("tests/ops", "tests/nn", "tests/data", "tests/transformations", "tests/test_errors.py")
REACHED = FOLDER / "reached.json"
FAILURE = FOLDER / "failure"  # the first test that fails, and how
COMPILED = FOLDER / "compiled"
FIRST = 20  # tests see most mutants, and the others need not be collected then
QUIET = ("-q", "-x", "--assert=plain", "-p", "no:cacheprovider")
assert equinox and hypothesis
jraphx_eqx._warn._OURS += ("mutmut",)  # which stands between a function and its caller


class _Failure:
    """Writes the first failure down."""

    def pytest_runtest_logreport(self, report):
        if report.failed:
            FAILURE.write_text(f"{report.nodeid}\n{report.longreprtext}")

    pytest_collectreport = pytest_runtest_logreport


class _Reached(_Failure):
    """Notes which functions each test calls, and how long it takes. Keeps what is compiled."""

    def __init__(self):
        self.tests: dict[str, dict] = {}
        self.last: tuple = ()

    def pytest_sessionstart(self):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

    def pytest_runtest_setup(self, item):
        from mutmut.state import state

        options = item.callspec.params if hasattr(item, "callspec") else {}
        these = item.originalname, str(options.get("operator"))
        if these != self.last:  # Otherwise it shares programs with the test before.
            jax.clear_caches()  # What is not traced again would not be noted.
            state()._stats.clear()
        self.last = these

    def pytest_runtest_makereport(self, item, call):
        from mutmut.state import state

        if call.when == "call":
            functions = sorted(state()._stats)
            self.tests[item.nodeid] = {"seconds": call.duration, "functions": functions}

    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus == 0:
            REACHED.write_text(json.dumps(self.tests))


def judge(mutants: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The verdict on each mutant: its name, `"killed"` or `"survived"`, and by what."""
    if not mutants:
        return
    # Most programs are not changed by a mutant, and not compiled again. It writes none.
    jax.config.update("jax_compilation_cache_dir", str(COMPILED))
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", float("inf"))
    if not REACHED.exists():
        status, failure = _forked(TESTS, _Reached(), "stats")
        if status:
            raise SystemExit(f"without any mutant this fails: {failure}")
    tests = json.loads(REACHED.read_text())
    for mutant in mutants:
        function = mutant.rpartition("__mutmut_")[0]
        chosen = [name for name, test in tests.items() if function in test["functions"]]
        chosen.sort(key=lambda name: tests[name]["seconds"])
        status, failure = 0, ""
        for part in (chosen[:FIRST], chosen[FIRST:]):
            if part and not status:
                seconds = 60 + 3 * sum(tests[name]["seconds"] for name in part)
                status, failure = _forked(part, _Failure(), mutant, seconds)
        if status == pytest.ExitCode.USAGE_ERROR and not failure:
            raise SystemExit(f"the tests are not those of before; delete {REACHED}")
        yield mutant, "killed" if status else "survived", failure.partition("\n")[0]


def _forked(
    tests: Sequence[str], plugin: object, mutant: str, seconds: float = 0
) -> tuple[int, str]:
    """The exit status of pytest in a child, and the first failure. It may compute so long."""
    FAILURE.write_text("")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ[SWITCH] = mutant
            signal.setitimer(signal.ITIMER_PROF, seconds)  # which ends the process
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
                status = int(pytest.main([*QUIET, *tests], plugins=[plugin]))
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    slow = status == -signal.SIGPROF
    return status, f"more than {seconds:.0f} s" if slow else FAILURE.read_text()
