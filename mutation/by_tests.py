"""Which mutants the other tests see: each in a process of its own, the quickest tests first."""

import itertools
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

TESTS = (
    "tests/ops",
    "tests/nn",
    "tests/data",
    "tests/transformations",
    "tests/test_programs.py",
    "tests/test_errors.py",
)
REACHED = FOLDER / "reached.json"
FAILURES = FOLDER / "failures"
COMPILED = FOLDER / "compiled"
FIRST = 20  # tests see most mutants, and the others need not be collected then
QUIET = ("-q", "--assert=plain", "-p", "no:cacheprovider")
assert equinox and hypothesis
jraphx_eqx._warn._OURS += ("mutmut",)  # which stands between a function and its caller


class _Failures:
    """Writes failures down."""

    def pytest_runtest_logreport(self, report):
        if report.failed:
            with FAILURES.open("a") as file:
                print(report.nodeid, report.longreprtext, sep="\n", file=file)

    pytest_collectreport = pytest_runtest_logreport


class _Reached(_Failures):
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

        if call.when == "call" and not call.excinfo:
            functions = sorted(state()._stats)
            self.tests[item.nodeid] = {"seconds": call.duration, "functions": functions}

    def pytest_sessionfinish(self, session):
        REACHED.write_text(json.dumps(self.tests))


def judge(mutants: Sequence[str], limit: float) -> Iterator[tuple[str, str, str]]:
    """The verdict on each mutant: its name, `"killed"` or `"survived"`, and by what.

    Of the tests that reach it, the quickest run, which take `limit` seconds together.
    """
    if not mutants:
        return
    # Most programs are not changed by a mutant, and not compiled again. It writes none.
    jax.config.update("jax_compilation_cache_dir", str(COMPILED))
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", float("inf"))
    if not REACHED.exists():
        _, failure = _forked(TESTS, _Reached(), "stats")
        if failure:
            print(f"left out, because they fail without any mutant:\n{failure}")
    tests = json.loads(REACHED.read_text())
    for mutant in mutants:
        function = mutant.rpartition("__mutmut_")[0]
        chosen = [name for name, test in tests.items() if function in test["functions"]]
        chosen.sort(key=lambda name: tests[name]["seconds"])
        ends = itertools.accumulate(tests[name]["seconds"] for name in chosen)
        few = [test for test, end in zip(chosen, ends, strict=True) if end <= limit]
        status, failure = 0, ""
        for part in (few[:FIRST], few[FIRST:]):
            if part and not status:
                seconds = 60 + 3 * sum(tests[name]["seconds"] for name in part)
                status, failure = _forked(part, _Failures(), mutant, seconds)
        if status == pytest.ExitCode.USAGE_ERROR and not failure:
            raise SystemExit(f"the tests are not those of before; delete {REACHED}")
        if status:
            yield mutant, "killed", failure.partition("\n")[0]
        else:
            yield mutant, "survived", f"{len(few)} of {len(chosen)} tests"


def _forked(
    tests: Sequence[str], plugin: object, mutant: str, seconds: float = 0
) -> tuple[int, str]:
    """The exit status of pytest in a child, and what fails. It may compute so long."""
    options = ["--maxfail=1"] if seconds else []
    FAILURES.write_text("")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ[SWITCH] = mutant
            signal.setitimer(signal.ITIMER_PROF, seconds)  # which ends the process
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
                status = int(pytest.main([*QUIET, *options, *tests], plugins=[plugin]))
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    slow = status == -signal.SIGPROF
    return status, f"more than {seconds:.0f} s" if slow else FAILURES.read_text()
