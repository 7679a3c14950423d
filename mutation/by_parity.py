"""Which mutants the recorded references see, in one process.

A mutant is switched on, and the programs of every configuration that runs the changed line are
traced again, in float64, and if none differs there, in float32. Where the program is the same,
operation for operation, so are its results, and nothing runs. Where it is another one, it is
compiled and compared with what PyG gave. Properties are no part of a program, so one result of each
operator is kept, of a configuration that is given all there is, and they are asked of it again.
"""

import contextlib
import gc
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import numpy as np

from jraphx_eqx.parity import Case, Config, Spec, pairs, run
from jraphx_eqx.parity import _candidate as candidates
from jraphx_eqx.parity._references import References, trusted
from parity_tests.catalogue import DIVERGENCES, SPECS
from parity_tests.recorded import FOLDER, LANES

from . import mutants

# A lane of its own notices what another cannot: float64 most, float32 what overflows.
BY_POWER = sorted(LANES, key=("f64", "f32", "exact").index)
TRACED = BY_POWER[:2]
SECONDS = 300  # of computing
PACKAGE = f"{mutants.FOLDER}/jraphx_eqx/"


class Slow(BaseException):
    """A mutant takes too long: an endless loop, say. Nothing on the way must catch it."""


class Noticed(Exception):
    """A check fails, or the program cannot even be traced."""


@dataclass
class Point:
    """One configuration of one operator, on the cases for which it was recorded, in one lane."""

    spec: Spec
    config: Config
    references: References
    cases: list[Case]
    lane: str
    programs: list[Any] = field(default_factory=list)  # without any mutant
    lines: set[tuple[str, int]] = field(default_factory=set)  # of the package, that it runs
    shapes: dict[Any, Any] = field(default_factory=dict)  # of outputs
    seconds: float = 0.0  # to trace it
    number: int = 0  # among those of its operator, the quickest first

    def __str__(self) -> str:
        return f"{self.spec.name} ({self.config.name})"

    def of(self, other: "Point") -> bool:
        """Whether it is of the same operator and lane."""
        return self.spec is other.spec and self.lane == other.lane

    def traced(self) -> list[Any]:
        """The programs as text, one for each set of shapes that the cases have."""
        programs = {}
        for case in self.cases:
            candidate = self._candidate(case)
            shapes = str(jax.tree.map(np.shape, candidate.padded))
            if shapes not in programs:
                programs[shapes] = _program(candidate)
        return list(programs.values())

    def remember(self) -> None:
        """Notes what it is without any mutant."""
        candidates._SHAPES.clear()
        began = time.perf_counter()
        self.programs, self.lines = _watched(self.traced)
        self.seconds = time.perf_counter() - began
        self.shapes = dict(candidates._SHAPES)

    def is_changed(self) -> bool:
        """Whether it has another program now."""
        candidates._SHAPES.clear()
        candidates._SHAPES.update(self.shapes)
        with contextlib.suppress(Exception):
            return self.traced() != self.programs
        # Perhaps because outputs have other shapes.
        candidates._SHAPES.clear()
        try:
            return self.traced() != self.programs
        except Exception as error:
            raise Noticed(f"{self}: {type(error).__name__}: {error}") from error

    def given(self) -> int:
        """How many inputs are not left out."""
        inputs = self._candidate(self.cases[0]).padded
        return sum(value is not None for value in inputs.values())

    def compare(self) -> None:
        """Raises `Noticed` at the first check that fails."""
        candidates.clear_caches()  # so that no program of another mutant is run
        for lane in BY_POWER:
            if lane == "exact" and not self.spec.exact(self.config):
                continue
            at = {"lanes": [lane], "configs": [self.config], "divergences": DIVERGENCES}
            for case in self.cases:
                result = run(self.spec, [case], oracle=self.references.oracle, **at)
                for record in result.of("FAIL", "NOT VERIFIED"):
                    if record.case:
                        told = f"{lane}, {case.name}, {record.tensor}: {record.message}"
                        raise Noticed(f"{self}: {told}")

    def result(self) -> Callable[[], None]:
        """Computes one result without any mutant. What is returned raises `Noticed` if a property
        of it does not hold."""
        candidate = self._candidate(self.cases[0])
        candidate.run(None, {})

        def ask():
            candidates.clear_caches()  # one of them traces programs
            try:
                problems = candidate.problems()
            except Exception as error:
                raise Noticed(f"{self}: {type(error).__name__}: {error}") from error
            for name, problem in problems.items():
                if problem is not None:
                    raise Noticed(f"{self}: {name}: {problem}")

        return ask

    def _candidate(self, case: Case) -> candidates.Candidate:
        spec, config = self.spec, self.config
        oracle = self.references.oracle(spec, config, case, 0)
        module = spec.eqx(**config.options)
        at = (spec, config, case, module, oracle.inputs, oracle.weights, self.lane)
        return candidates.Candidate(*at)


def _program(candidate: candidates.Candidate) -> tuple[str, list[Any]]:
    candidate.compiled = False
    with candidates.precision(candidate.lane):
        program, zeros = candidate._program(None)
        traced = eqx.filter_make_jaxpr(program.func)(*program.args, zeros)[0]
    text = re.sub(r"0x[0-9a-f]+|name=\S*", "", str(traced.jaxpr))
    return text, [np.asarray(value).tolist() for value in traced.consts]


class Judge:
    """The references, and the programs without any mutant."""

    def __init__(self, patience: int | None = None):
        self.patience = patience
        self.points = [point for spec in SPECS.values() for point in _points(spec)]
        for point in self.points:
            point.remember()
        gc.freeze()
        self.points.sort(key=lambda point: point.seconds)
        for place, point in enumerate(self.points):
            point.number = sum(other.of(point) for other in self.points[:place])
        asks = [self._fullest(spec).result() for spec in SPECS.values() if spec.properties]
        self.properties = [(ask, _watched(ask)[1]) for ask in asks]
        # Every operator once, then every operator twice, and so on.
        self.points.sort(key=lambda point: (TRACED.index(point.lane), point.number))

    def _fullest(self, spec: Spec) -> Point:
        """The quickest of the configurations that are given the most inputs, in float32."""
        mine = [point for point in self.points if point.spec is spec and point.lane == TRACED[-1]]
        return max(mine, key=lambda point: point.given())

    def verdict(self, mutant: str) -> tuple[str, str]:
        """`("killed", by what)`; `("passed", where)` for other programs with the same results;
        `("same", "")` for the same programs; `("not reached", "")`."""
        changed = mutants.lines(mutant)
        points = [point for point in self.points if changed & point.lines]
        asks = [ask for ask, lines in self.properties if changed & lines]
        if not points and not asks:
            return "not reached", ""
        signal.signal(signal.SIGPROF, _too_slow)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        os.environ[mutants.SWITCH] = mutant
        try:
            return self._verdict(points, asks)
        except Slow:
            return "killed", f"more than {SECONDS} s"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.environ[mutants.SWITCH] = ""

    def _verdict(
        self, points: Sequence[Point], asks: Sequence[Callable[[], None]]
    ) -> tuple[str, str]:
        differing, looked_at = [], []
        try:
            for ask in asks:
                ask()
            for point in points:
                if any(other.lane != point.lane for other in differing):
                    break
                if not point.is_changed():
                    continue
                differing.append(point)
                # Most are seen where they first show. Tracing the rest costs less than comparing.
                if not looked_at:
                    looked_at.append(point)
                    point.compare()
            for point in differing[1 : self.patience]:
                looked_at.append(point)
                point.compare()
        except Noticed as noticed:
            return "killed", str(noticed)
        finally:
            if looked_at:
                candidates.clear_caches()
        if not differing:
            return "same", ""
        return "passed", f"{len(looked_at)} of {len(differing)}: " + "; ".join(map(str, differing))


def _points(spec: Spec) -> Iterator[Point]:
    references = trusted(spec, FOLDER, DIVERGENCES)
    recorded = list(pairs(spec, references.cases, references.manifest["pairing"]))
    for config in spec.grid:
        cases = [case for where, case in recorded if where is config]
        for lane in TRACED:
            yield Point(spec, config, references, cases, lane)


def _watched(call: Callable[[], Any]) -> tuple[Any, set[tuple[str, int]]]:
    """What it returns, and every line of the package that it runs."""
    found = set()

    def of_line(frame, event, arg):
        found.add((frame.f_code.co_filename, frame.f_lineno))
        return of_line

    def of_call(frame, event, arg):
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return None
        found.add((code.co_filename, code.co_firstlineno))
        return of_line

    sys.settrace(of_call)
    try:
        return call(), found
    finally:
        sys.settrace(None)


def _too_slow(*_: Any) -> None:
    raise Slow


def judge(names: Sequence[str], patience: int | None) -> Iterator[tuple[str, str, str]]:
    """The verdict on each mutant: its name, the verdict, and by what. With `patience`, at most so
    many configurations that a mutant changes are compared."""
    judge = Judge(patience)
    for mutant in names:
        yield mutant, *judge.verdict(mutant)
