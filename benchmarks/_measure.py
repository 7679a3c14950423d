"""Runs the parts of the benchmark; each yields records."""

import dataclasses
import statistics
from collections.abc import Iterator

import psutil

from ._worker import Failed, Worker, installed
from ._workloads import FORWARD, FRAMEWORKS, MAIN, SCATTER, Workload

Record = dict
LONGEST = 20.0
"""Seconds that a call of a growing series may be expected to take."""
QUICK, UNSTEADY = 5e-3, 3
"""On a CPU calls of less than so many seconds get so many times the turns: one process may wake its
threads in a better order than another for seconds."""
ROOM = 0.7
"""The share of the free memory that a call may be expected to need."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How much is run: turns of each framework, calls in a turn, seconds after which it ends.

    Calls of less than `QUICK` seconds get `unsteady` times the turns.
    """

    turns: int
    calls: int
    seconds: float
    unsteady: int = UNSTEADY


class Team:
    """Workers that stay alive, started when they are first needed."""

    def __init__(
        self,
        scatter: str | None,
        folder: str | None,
        device: str = "cpu",
        frameworks: tuple[str, ...] = FRAMEWORKS,
    ):
        self._options = (scatter, folder, device)
        self._frameworks = frameworks
        self._workers: dict[str, Worker] = {}

    def __getitem__(self, framework: str) -> Worker:
        if framework not in self._workers:
            self._workers[framework] = self.fresh(framework)
        return self._workers[framework]

    def fresh(self, framework: str) -> Worker:
        """A worker that has run nothing; the caller stops it."""
        return Worker(framework, *self._options)

    def has(self, framework: str) -> bool:
        return framework in self._frameworks and installed(framework, self._options[0])

    def device(self) -> str:
        """What all run on, by the name that its driver gives."""
        return self[next(filter(self.has, FRAMEWORKS))].device()

    def versions(self) -> dict[str, str]:
        workers = [self[framework] for framework in filter(self.has, (*MAIN, SCATTER))]
        return {k: v for worker in workers for k, v in worker.versions().items()}

    def stop(self) -> None:
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()


def interleaved(team: Team, workload: Workload, pace: Pace) -> Iterator[Record]:
    """Times of all frameworks, by turns, so that a slow spell of the machine hits all."""
    able = {}
    for framework in filter(team.has, workload.frameworks):
        try:
            able[framework] = team[framework].prepare(workload)
        except Failed as error:
            yield record(workload, ("all", ""), framework, error=str(error))
    for operation in dict.fromkeys(op for operations in able.values() for op in operations):
        times = {name: [] for name in able if operation in able[name]}
        for turn in range(pace.turns * pace.unsteady):
            if turn >= pace.turns and not _is_unsteady(times):
                break
            for framework in list(times):
                slow = turn > 1 and times[framework][-1][-1] > 10 * pace.seconds
                if slow:
                    continue
                try:
                    turn_times = team[framework].time(operation, pace.calls, pace.seconds)
                    times[framework].append(turn_times)
                except Failed as error:
                    del times[framework]
                    yield record(workload, operation, framework, error=str(error))
        for framework, turns in times.items():
            yield record(workload, operation, framework, seconds=turns)


def _is_unsteady(times) -> bool:
    """Whether the quickest framework takes so little that the placing of its threads shows."""
    return min((statistics.median(t[0]) for t in times.values()), default=QUICK) < QUICK


def first_calls(team: Team, workload: Workload) -> Iterator[Record]:
    """Seconds from the call of a new function to its result, in a process that ran nothing."""
    yield from _in_fresh_processes(team, workload, _first)


def peaks(team: Team, workload: Workload) -> Iterator[Record]:
    """The most memory during two calls, in a process that ran the operator on a few nodes."""
    yield from _in_fresh_processes(team, workload, _peak)


def growing(team: Team, series: list[Workload]) -> Iterator[Record]:
    """Times of ever larger inputs, until time or memory would run out."""
    stopped: dict[tuple[str, tuple[str, str]], str] = {}
    last: dict[tuple[str, tuple[str, str]], tuple[Workload, float, float]] = {}
    for workload in series:
        for framework in filter(team.has, workload.frameworks):
            worker = team[framework]
            known = [key for key in last if key[0] == framework]
            if known and all(key in stopped for key in known):
                continue
            try:
                operations = worker.prepare(workload)
            except Failed as error:
                yield record(workload, ("all", ""), framework, error=str(error))
                continue
            for operation in operations:
                key = (framework, operation)
                if operation[1] == FORWARD or key in stopped:
                    continue
                reason = _too_large(workload, last.get(key))
                try:
                    if reason:
                        raise Failed(reason)
                    found = worker.peak(operation)
                    seconds = worker.time(operation, 3, 1.0)
                except Failed as error:
                    stopped[key] = str(error)
                    yield record(workload, operation, framework, error=str(error))
                    continue
                last[key] = (workload, seconds[-1], found["peak"] - found["before"])
                yield record(workload, operation, framework, seconds=[seconds], memory=found)
            worker.prepare(dataclasses.replace(workload, graphs=1, nodes=32))


def _too_large(workload, before) -> str:
    """Why a call should not be tried, going by the size before."""
    if before is None:
        return ""
    smaller, seconds, taken = before
    growth = workload.graphs * workload.nodes / (smaller.graphs * smaller.nodes)
    if seconds * growth > LONGEST:
        return f"would take more than {LONGEST:.0f} s: {seconds:.1f} s at a size before"
    free = psutil.virtual_memory().available
    need = taken * growth
    if need > ROOM * free and taken > 2**28:  # below, it is what compilation takes
        return f"would need about {need / 2**30:.0f} GiB of memory, {free / 2**30:.0f} are free"
    return ""


def _in_fresh_processes(team, workload, measure):
    for framework in filter(team.has, workload.frameworks):
        worker = team.fresh(framework)
        try:
            small = dataclasses.replace(workload, nodes=32, graphs=1)
            operations = [op for op in worker.prepare(small) if op[1] != FORWARD]
            for number, operation in enumerate(operations):
                if number:
                    worker.stop()
                    worker = team.fresh(framework)
                try:
                    yield measure(worker, workload, operation)
                except Failed as error:
                    yield record(workload, operation, framework, error=str(error))
        finally:
            worker.stop()


def _first(worker, workload, operation):
    worker.prepare(workload)
    seconds = worker.first(operation)
    return record(workload, operation, worker.framework, seconds=[[seconds]])


def _peak(worker, workload, operation):
    worker.prepare(dataclasses.replace(workload, nodes=32))
    worker.first(operation)
    worker.prepare(workload)
    return record(workload, operation, worker.framework, memory=worker.peak(operation))


def record(workload: Workload, operation: tuple[str, str], framework: str, **found) -> Record:
    """A row of the results."""
    if "seconds" in found:
        found["seconds"] = [[float(f"{t:.4g}") for t in turn] for turn in found["seconds"]]
    return {
        "part": workload.part,
        "size": workload.size,
        "graphs": workload.graphs,
        "nodes": workload.nodes,
        "dtype": workload.dtype,
        "operator": operation[0],
        "pass": operation[1],
        "framework": framework,
        **found,
    }
