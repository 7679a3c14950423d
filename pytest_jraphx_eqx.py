"""The pytest plugin of `jraphx_eqx.parity`: a `Suite` in a test file becomes tests.

Every pytest run of the environment loads this file, so it imports neither jax nor the package
before a test file or an option asks for it.
"""

import json
import shlex
import sys
from pathlib import Path

import pytest

OPTIONS = ("lanes", "references", "record", "bless", "json", "html")


def pytest_addoption(parser):
    group = parser.getgroup("parity", "parity with PyTorch (jraphx_eqx)")
    for option, metavar, text in (
        ("lanes", "LANES", "only these lanes, separated by commas: exact, f64, f32, metamorphic"),
        ("references", "DIR", "compare with the references in this folder; needs no PyTorch"),
        ("record", "DIR", "write references into this folder instead of comparing"),
        ("bless", "REASON", "why recorded references may change (with --parity-record)"),
        ("json", "FILE", "write all records to this file"),
        ("html", "FILE", "write the report to this file"),
    ):
        group.addoption(f"--parity-{option}", metavar=metavar, help=text)


def pytest_configure(config):
    given = {name: config.getoption(f"parity_{name}") for name in OPTIONS}
    if given["record"] and given["references"]:
        raise pytest.UsageError("give --parity-record or --parity-references, not both")
    if given["bless"] and not given["record"]:
        raise pytest.UsageError("--parity-bless is a reason to record: give --parity-record too")
    if given["lanes"]:
        from jraphx_eqx.parity import LANES

        unknown = [lane for lane in _lanes(config) if lane not in LANES]
        if unknown:
            known = ", ".join(LANES)
            raise pytest.UsageError(f"--parity-lanes: expected lanes among {known}, got {unknown}")
    if (given["json"] or given["html"]) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(config), "parity-report")


def _lanes(config):
    text = config.getoption("parity_lanes")
    return text and [lane.strip() for lane in text.split(",")]


def _folder(config, option):
    text = config.getoption(option)
    return text and Path(config.invocation_params.dir, text)


def pytest_pycollect_makeitem(collector, name, obj):
    parity = sys.modules.get("jraphx_eqx.parity")
    if parity is None or not isinstance(obj, parity.Suite) or not collector.funcnamefilter(name):
        return None
    config = collector.config
    if config.getoption("parity_record"):
        return [Recording.from_parent(collector, name=f"{name}[record]", suite=obj)]
    runner = parity.Runner(obj, lanes=_lanes(config), folder=_folder(config, "parity_references"))
    return [
        Comparison.from_parent(
            collector, name=f"{name}[{check.name}]", runner=runner, check=check, order=order
        )
        for order, check in enumerate(runner.checks)
    ]


class Comparison(pytest.Item):
    """A tensor of one configuration, case and lane; or what all of them say together."""

    def __init__(self, *, runner, check, order, **kwargs):
        super().__init__(**kwargs)
        self.runner, self.check, self.order, self.found = runner, check, order, None
        self.suite = self.name.partition("[")[0]
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(f"{self.suite}[{check.group}]"))

    def runtest(self):
        from jraphx_eqx.parity import describe
        from jraphx_eqx.parity.verdicts import SEVERITY

        result = self.runner.run(self.check)
        for record in result.records:
            record.repro = self._command()
        order = [self._file(), self.suite, self.order]
        gravest = next(verdict for verdict in SEVERITY if result.of(verdict))
        self.found = {"verdict": gravest, "order": order, "result": json.dumps(result.to_json())}
        if gravest in SEVERITY[:3]:
            bad = [record for verdict in SEVERITY[:3] for record in result.of(verdict)]
            pytest.fail(_once(map(describe, bad)), pytrace=False)
        if gravest == "UNJUDGED":
            pytest.skip(_once(map(describe, result.records)))

    def _file(self):
        assert self.parent is not None
        return self.parent.nodeid

    def _command(self):
        given = self.config.getoption("parity_references")
        options = [f"--parity-references={given}"] if given else []
        return shlex.join(["python", "-m", "pytest", f"{self._file()}::{self.name}", *options])

    def reportinfo(self):
        return self.path, None, self.name


class Recording(pytest.Item):
    """The references of a suite."""

    def __init__(self, *, suite, **kwargs):
        super().__init__(**kwargs)
        self.suite = suite

    def runtest(self):
        from jraphx_eqx.parity import BadReferences, record

        suite, folder = self.suite, _folder(self.config, "parity_record")
        assert folder is not None
        try:
            record(
                suite.spec,
                suite.cases,
                folder,
                pairing=suite.pairing,
                seed=suite.seed,
                weights=suite.weights,
                divergences=suite.divergences,
                bless=self.config.getoption("parity_bless"),
            )
        except (BadReferences, ValueError) as error:
            pytest.fail(str(error), pytrace=False)

    def reportinfo(self):
        return self.path, None, self.name


def _once(texts):
    """Texts below each other; the command that repeats them, the same for all, is given once."""
    told = [text.rpartition("\n") for text in texts]
    return "\n".join([*(text for text, _, _ in told), told[-1][2]])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and getattr(item, "found", None) and isinstance(item, Comparison):
        outcome.get_result().parity = item.found  # xdist sends it along


def pytest_report_teststatus(report):
    verdict = getattr(report, "parity", {}).get("verdict")
    if verdict == "DECLARED" and report.passed:
        return "declared", "D", ("DECLARED", {"yellow": True})
    if verdict == "UNJUDGED" and report.skipped:
        return "unjudged", "U", ("UNJUDGED", {"yellow": True})
    if verdict in ("MISTRUSTED", "NOT VERIFIED") and report.failed:
        return "failed", "F", (verdict, {"red": True})
    return None


class Report:
    """Puts the report together from what the tests found, in whatever process they ran."""

    def __init__(self, config):
        self.config, self.found = config, {}

    def pytest_runtest_logreport(self, report):
        if hasattr(report, "parity"):
            self.found[tuple(report.parity["order"])] = report.parity["result"]

    def pytest_sessionfinish(self):
        from jraphx_eqx.parity import Result, merge_profiles
        from jraphx_eqx.report import to_html

        whole = Result()
        for order in sorted(self.found):
            whole.extend(Result.from_json(json.loads(self.found[order])))
        whole.profiles = merge_profiles(whole.profiles)
        data, page = (_folder(self.config, f"parity_{name}") for name in ("json", "html"))
        for path in filter(None, (data, page)):
            path.parent.mkdir(parents=True, exist_ok=True)
        if data:
            whole.save(data)
        if page:
            page.write_text(to_html(whole), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter):
        for name in ("json", "html"):
            path = self.config.getoption(f"parity_{name}")
            if path:
                terminalreporter.write_line(f"parity report: {path}")
