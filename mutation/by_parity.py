"""Which mutants the recorded references see, in one process.

A mutant is switched on, and the programs of every configuration that reaches its function are
traced again. Where the program is the same, operation for operation, so are its results, and
nothing runs. Where it is another one, it is compiled and compared with what PyG gave.
"""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from mutmut.state import state

from jraphx_eqx.parity import Config, run
from jraphx_eqx.parity import _candidate as candidates
from jraphx_eqx.parity._recorded import RecordedOracle
from jraphx_eqx.parity._references import _name, _read
from parity_tests.catalogue import SPECS
from parity_tests.divergences import DIVERGENCES
from parity_tests.recorded import FOLDER, LANES

from .mutants import SWITCH

# What compiles fast comes first.
POOLS = ("global_add_pool", "global_mean_pool", "global_max_pool", "global_min_pool")
ORDER = (*POOLS, "GraphConv", "SAGEConv", "GCNConv", "GATConv", "TopKPooling", "SAGPooling")
# A lane of its own notices what another cannot: float64 most, float32 what overflows.
BY_POWER = sorted(LANES, key=("f64", "f32", "exact").index)
SECONDS = 300
Point = tuple[str, int]


class Slow(Exception):
    """A mutant takes too long: an endless loop, say."""


class Judge:
    """The references, and the programs without any mutant."""

    def __init__(self):
        assert set(ORDER) == set(SPECS)
        self.references = {}
        for name in ORDER:
            self.references[name], problems = _read(FOLDER / name)
            assert not problems, problems
        self.points = [(name, place) for name in ORDER for place in range(len(SPECS[name].grid))]
        # One configuration of every operator before the others.
        self.points.sort(key=lambda point: point[1] > 0)
        self.programs: dict[Point, list[Any]] = {}
        self.reached: dict[Point, set[str]] = {}
        self.shapes: dict[Point, dict[str, Any]] = {}  # of each, the first case that has them
        os.environ[SWITCH] = "stats"  # mutmut notes which functions are called
        for point in self.points:
            state()._stats.clear()
            self.programs[point] = self._traced(point)
            self.reached[point] = set(state()._stats)
        os.environ[SWITCH] = ""

    def verdict(self, mutant: str) -> tuple[str, str]:
        """`("killed", by what)`; `("passed", where)` for other programs with the same results;
        `("same", "")` for the same programs; `("not reached", "")`."""
        function = mutant.rpartition("__mutmut_")[0]
        points = [point for point in self.points if function in self.reached[point]]
        if not points:
            return "not reached", ""
        differing = []
        signal.signal(signal.SIGALRM, _too_slow)
        signal.alarm(SECONDS)
        os.environ[SWITCH] = mutant
        try:
            for point in points:
                try:
                    if self._traced(point) == self.programs[point]:
                        continue
                except Slow:
                    raise
                except Exception as error:
                    return "killed", f"{_told(point)}: {type(error).__name__}: {error}"
                differing.append(_told(point))
                killer = self._compare(point)
                if killer:
                    return "killed", f"{_told(point)}: {killer}"
        except Slow:
            return "killed", f"more than {SECONDS} s"
        finally:
            signal.alarm(0)
            os.environ[SWITCH] = ""
            if differing:
                _forget()
        return ("passed", "; ".join(differing)) if differing else ("same", "")

    def _cases(self, point: Point) -> Iterator[tuple[Config, Any]]:
        name, place = point
        config, found = SPECS[name].grid[place], self.references[name]
        for case in found.cases:
            if (_name(config), case.name) in found.trees:
                yield config, case

    def _oracle(self, spec, config, case, seed=0) -> RecordedOracle:
        tree = self.references[spec.name].trees[_name(config), case.name]
        return RecordedOracle(spec, config, tree)

    def _traced(self, point: Point) -> list[Any]:
        """The programs as text, one for each set of shapes that the cases have."""
        if point not in self.shapes:
            shapes = self.shapes[point] = {}
            for config, case in self._cases(point):
                padded = self._candidate(point, config, case).padded
                shapes.setdefault(str(jax.tree.map(np.shape, padded)), (config, case))
        return [self._program(point, *at) for at in self.shapes[point].values()]

    def _candidate(self, point: Point, config: Config, case: Any) -> candidates.Candidate:
        spec, oracle = SPECS[point[0]], self._oracle(SPECS[point[0]], config, case)
        module = spec.eqx(**config.options)
        at = (spec, config, case, module, oracle.inputs, oracle.weights, "f64")
        return candidates.Candidate(*at)

    def _program(self, point: Point, config: Config, case: Any) -> Any:
        candidates._SHAPES.clear()
        candidate = self._candidate(point, config, case)
        candidate.compiled = False
        with candidates.precision("f64"):
            program, zeros = candidate._program(None)
            traced = eqx.filter_make_jaxpr(program.func)(*program.args, zeros)[0]
        text = re.sub(r"0x[0-9a-f]+|name=\S*", "", str(traced.jaxpr))
        return text, [np.asarray(value).tolist() for value in traced.consts]

    def _compare(self, point: Point) -> str:
        """The first check that fails."""
        _forget()
        spec = SPECS[point[0]]
        for lane in BY_POWER:
            for config, case in self._cases(point):
                if lane == "exact" and not spec.exact(config):
                    continue
                at = {"lanes": [lane], "configs": [config], "divergences": DIVERGENCES}
                result = run(spec, [case], oracle=self._oracle, **at)
                for record in result.of("FAIL", "NOT VERIFIED"):
                    if record.case:
                        return f"{lane}, {case.name}, {record.tensor}: {record.message}"
        return ""


def _told(point: Point) -> str:
    return f"{point[0]} ({SPECS[point[0]].grid[point[1]].name})"


def _forget() -> None:
    """Programs of another mutant must not be run in place of this one's."""
    jax.clear_caches()
    candidates._SHAPES.clear()


def _too_slow(*_: Any) -> None:
    raise Slow


def judge(mutants: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The verdict on each mutant: its name, the verdict, and by what."""
    judge = Judge()
    for mutant in mutants:
        yield mutant, *judge.verdict(mutant)
