import contextlib
import dataclasses
import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._case import Case
from ._checks import Check, Comparison, checks_of
from ._environment import environment, torch_environment
from ._lanes import run_trial
from ._oracle import AbstractOracle
from ._profile import Profiler
from ._record import FAIL, NOT_VERIFIED, Profile, Record, Result
from ._references import BadReferences, References, trusted
from ._run import declare, live, missing_input_classes, pairs, vacuity
from ._spec import Config
from ._suite import Suite
from ._trial import RunTally, Trial, Vacuous


@dataclasses.dataclass(frozen=True)
class _Part:
    """What one comparison found."""

    records: list[Record]
    tally: RunTally


class Runner:
    """Runs the tests of a suite, each comparison when the first of its tests asks for it.

    **Arguments:**

    - `suite`: the suite.
    - `lanes`: only these of its lanes.
    - `folder`: where the folder of the operator with references is; `None` to run PyTorch.
    """

    def __init__(
        self, suite: Suite, *, lanes: Sequence[str] | None = None, folder: Path | None = None
    ):
        self.suite, self.lanes, self.folder = suite, lanes, folder
        self._parts: dict[Comparison, _Part] = {}
        self._live = live(suite.weights)
        self._modules: dict[int, Any] = {}
        self._last: tuple[Config, Case, AbstractOracle] | None = None

    @functools.cached_property
    def checks(self) -> list[Check]:
        """The tests."""
        return checks_of(self.suite, self.lanes)

    def run(self, check: Check) -> Result:
        """What a test finds: one record or more, none of which passes if it was not compared."""
        spec = self.suite.spec
        divergences = [d.to_json() for d in self.suite.divergences if d.concerns(spec)]
        result = Result(environment=self._environment, divergences=divergences)
        if check.comparison is None:
            result.records = self._whole()
            return result
        comparison, part = check.comparison, self._part(check.comparison)
        result.records = [r for r in part.records if comparison.tensor(r) == check.tensor]
        if not result.records:
            result.records = [_record(self.suite, comparison, check.tensor, _why(part))]
        result.profiles = [
            profiler.finish()
            for (_, tensor), profiler in part.tally.profilers.items()
            if tensor.partition("|")[0] == check.tensor
        ]
        return result

    def _part(self, comparison: Comparison) -> _Part:
        if comparison not in self._parts:
            self._parts[comparison] = self._compare(comparison)
        return self._parts[comparison]

    def _compare(self, comparison: Comparison) -> _Part:
        suite, config, case = self.suite, comparison.config, comparison.case
        problem = self._problem(config, case)
        if problem:
            return _Part([_record(suite, comparison, "*", problem)], RunTally())
        trial = Trial(suite.spec, config, case, comparison.lane, RunTally())
        make = functools.partial(self._oracle, config, case)
        run_trial(trial, make, functools.partial(self._module, config))
        mine = [d for d in suite.divergences if d.concerns(suite.spec)]
        for record in trial.records:
            declare(record, mine, config, case)
        return _Part(trial.records, trial.tally)

    def _problem(self, config: Config, case: Case) -> str | None:
        """Why there is no reference."""
        if self.folder is None:
            missing = importlib.util.find_spec("torch") is None
            return "PyTorch is not installed, and no references are given" if missing else None
        if isinstance(self._references, BadReferences):
            first, *more = self._references.problems
            others = f" (and {len(more)} more: see the test [all])" if more else ""
            return f"the references in {self._references.place} cannot be used: {first}{others}"
        return self._references.problem(config, case)

    @functools.cached_property
    def _references(self) -> References | BadReferences:
        assert self.folder is not None
        try:
            return trusted(self.suite.spec, self.folder, self.suite.divergences)
        except BadReferences as error:
            return error

    @functools.cached_property
    def _environment(self) -> dict[str, Any]:
        if self.folder is None:
            torch = importlib.util.find_spec("torch")
            return {**environment(), **(torch_environment() if torch else {})}
        found = self._references
        return {**environment(), **(found.environment if isinstance(found, References) else {})}

    def _oracle(self, config: Config, case: Case) -> AbstractOracle:
        """The reference, which for the next lane need not be made again."""
        if self._last is None or self._last[0] is not config or self._last[1] is not case:
            found = None if self.folder is None else self._references
            make = found.oracle if isinstance(found, References) else self._live
            self._last = config, case, make(self.suite.spec, config, case, self.suite.seed)
        return self._last[2]

    def _module(self, config: Config) -> Any:
        if id(config) not in self._modules:
            self._modules[id(config)] = self.suite.spec.eqx(**config.options)
        return self._modules[id(config)]

    def _whole(self) -> list[Record]:
        """What can be said of all comparisons together only."""
        spec, found = self.suite.spec, []
        at = spec.name, "", "", "", "*", "run"
        if self.folder is not None:
            if isinstance(self._references, BadReferences):
                return [Record(*at, NOT_VERIFIED, str(self._references))]
            left = self._references.left(pairs(spec, self.suite.cases, self.suite.pairing))
            found += [Record(*at, NOT_VERIFIED, f"recorded, but in no test: {n}") for n in left]
        found += vacuity(spec, self._vacuous()) + missing_input_classes(spec, self._drawn())
        if not any(check.comparison for check in self.checks):
            found.append(Record(*at, NOT_VERIFIED, "there is nothing to compare"))
        return found or [
            Record(*at, message="each tensor is nonzero and not constant in at least one case")
        ]

    def _vacuous(self) -> Vacuous:
        """For each lane and tensor, which comparisons say nothing. Those that did not run here, as
        with several processes, run as far as they are needed."""
        vacuous: Vacuous = {}

        def needed(comparison: Comparison) -> bool:
            keys = [(comparison.lane, t) for t in comparison.tensors if t != comparison.index]
            real = [k for k in keys if not self.suite.spec.expect_zero(k[1])]
            return comparison.lane != "metamorphic" and any(all(vacuous.get(k, ())) for k in real)

        comparisons = dict.fromkeys(c.comparison for c in self.checks if c.comparison)
        ran = [comparison for comparison in comparisons if comparison in self._parts]
        for comparison in dict.fromkeys((*ran, *comparisons)):
            if comparison in self._parts or needed(comparison):
                for key, said in self._part(comparison).tally.vacuous.items():
                    vacuous.setdefault(key, []).extend(said)
        return vacuous

    def _drawn(self) -> set[str]:
        """The input classes that some case has."""
        spec, drawn = self.suite.spec, set()
        for config, case in pairs(spec, self.suite.cases, self.suite.pairing):
            with contextlib.suppress(Exception):  # The comparison raises it too, and says so.
                inputs = spec.inputs(case, **config.inputs)
                drawn |= {name for name, occurs in spec.input_classes.items() if occurs(inputs)}
        return drawn


def _record(suite: Suite, at: Comparison, tensor: str, message: str) -> Record:
    names = suite.spec.name, at.config.name, at.case.name, at.lane
    return Record(*names, tensor, "run", NOT_VERIFIED, message)


def _why(part: _Part) -> str:
    """Why a comparison has found nothing about a tensor."""
    bad = [r for r in part.records if r.verdict in (FAIL, NOT_VERIFIED)]
    messages = [r.message for r in bad if r.kind in ("run", "weights")]
    return messages[0] if messages else "neither side has such a tensor"


def merge_profiles(profiles: Sequence[Profile]) -> list[Profile]:
    """One profile for each operator, lane and tensor."""
    merged: dict[tuple[str, str, str], Profiler] = {}
    for profile in profiles:
        key = profile.operator, profile.lane, profile.tensor
        merged.setdefault(key, Profiler(*key)).include(profile)
    return [profiler.finish() for profiler in merged.values()]
