import multiprocessing
import os
import pathlib
import sys

from ._serve import serve
from ._workloads import COMPILED, JRAPHX, OURS, PYG, SCATTER, Workload

MODULES = {
    OURS: "benchmarks._ours",
    PYG: "benchmarks._pyg",
    COMPILED: "benchmarks._pyg_compiled",
    SCATTER: "benchmarks._pyg_scatter",
    JRAPHX: "benchmarks._jraphx",
}
# No compiled program is kept on disk, so that compile times are those of a first use; and XLA
# wrongly says of every program that it was made for another processor.
ENVIRONMENT = {
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
# A GPU is shared by the processes of all frameworks.
PLACE = {
    "cpu": {"JAX_PLATFORMS": "cpu"},
    "gpu": {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
}
PATIENCE = 180.0
"""Seconds for one answer; who takes longer is stopped."""


class Failed(Exception):
    """What a framework could not do, in one line."""


class Worker:
    """A process for one framework, so that the thread pools of the others are not in its way."""

    def __init__(
        self,
        framework: str,
        scatter: str | None = None,
        folder: str | None = None,
        device: str = "cpu",
    ):
        """`scatter` is where torch-scatter is installed, `folder` where the data sets are."""
        self.framework = framework
        self._device = device
        self._path = [scatter] if scatter and framework == SCATTER else []
        self._folder = folder
        self._workload = None
        self._start()

    def prepare(self, workload: Workload) -> list[tuple[str, str]]:
        """Makes the inputs; returns what can be timed."""
        self._workload = workload
        able = self._ask("prepare", workload, self._folder, self._device)
        return [operation for operation in able if operation[0] in workload.operators]

    def time(self, operation: tuple[str, str], calls: int, seconds: float) -> list[float]:
        """Seconds of up to `calls` calls that follow one that is not counted."""
        return self._ask("time", operation, calls, seconds)

    def first(self, operation: tuple[str, str]) -> float:
        """Seconds of the first call."""
        return self._ask("first", operation)

    def peak(self, operation: tuple[str, str]) -> dict[str, int]:
        """Bytes of memory before two calls, and the most during them."""
        return self._ask("peak", operation)

    def device(self) -> str:
        """The name of what it runs on."""
        return self._ask("device", self._device)

    def versions(self) -> dict[str, str]:
        return self._ask("versions")

    def stop(self) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        threads = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        arguments = (MODULES[self.framework], theirs, self._path, threads)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        environment = ENVIRONMENT | PLACE[self._device]
        kept = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        self._process.start()
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()

    def _ask(self, *request):
        try:
            self._pipe.send(request)
            if not self._pipe.poll(PATIENCE):
                raise Failed(f"no answer in {PATIENCE:.0f} s")
            kind, answer = self._pipe.recv()
        except (EOFError, OSError, Failed) as error:
            self._process.kill()
            self._process.join()
            self._start()
            if self._workload is not None and request[0] != "prepare":
                self._ask("prepare", self._workload, self._folder, self._device)
            why = str(error) if isinstance(error, Failed) else "the process ended (out of memory?)"
            raise Failed(why) from None
        if kind == "error":
            raise Failed(answer)
        return answer


def installed(framework: str, scatter: str | None) -> bool:
    """Whether torch-scatter, the only optional part, is there."""
    return framework != SCATTER or bool(scatter and pathlib.Path(scatter).is_dir())
