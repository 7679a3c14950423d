"""The side of a worker that runs in its own process."""

import ctypes
import gc
import importlib
import pathlib
import sys
import time
import warnings

from ._inputs import make

SETTLE = 0.05
"""Seconds of calls that are not counted, at the start of a turn."""


def serve(module: str, pipe, path: list[str], threads: int) -> None:
    """Answers requests until the other end closes."""
    sys.path[:0] = path
    warnings.simplefilter("ignore")
    framework = importlib.import_module(module)
    framework.set_threads(threads)
    session = _Session(framework)
    while (request := _received(pipe)) is not None:
        try:
            pipe.send(("done", getattr(session, request[0])(*request[1:])))
        except Exception as error:
            pipe.send(("error", _one_line(error)))


class _Session:
    def __init__(self, framework):
        self._framework = framework
        self._makers, self._made, self._slow = {}, {}, set()
        self._device = "cpu"

    def versions(self):
        return self._framework.version

    def device(self, device):
        return self._framework.set_device(device)

    def prepare(self, workload, folder, device):
        self._makers, self._made, self._slow = {}, {}, set()
        self._device = device
        self._framework.set_device(device)
        give_back_memory()
        self._makers = self._framework.operations(make(workload, folder))
        return list(self._makers)

    def time(self, operation, calls, seconds):
        function = self._function(operation)
        times = []
        if operation not in self._slow:
            _settle(function)
        while len(times) < calls and sum(times) < seconds:
            times.append(_timed(function))
        if times[-1] > seconds:  # one more call that is not counted would tell nothing
            self._slow.add(operation)
        return times

    def first(self, operation):
        return _timed(self._function(operation))

    def peak(self, operation):
        function = self._function(operation)
        give_back_memory()
        before, _ = self._memory()
        if self._device == "cpu":
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        seconds = [_timed(function), _timed(function)]
        _, peak = self._memory()
        return {"before": before, "peak": peak, "seconds": seconds}

    def _memory(self):
        if self._device == "cpu":
            return _status("VmRSS"), _status("VmHWM")
        return self._framework.device_memory()

    def _function(self, operation):
        if operation not in self._made:
            self._made.clear()  # one operator's arrays at a time
            gc.collect()
            self._made[operation] = self._makers[operation]()
        return self._made[operation]


def _timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _settle(function):
    """Calls that are not counted: the first may compile, and the threads of the framework that had
    its turn before still look for work for some milliseconds."""
    end = time.perf_counter() + SETTLE
    function()
    while time.perf_counter() < end:
        function()


def give_back_memory():
    """What is freed goes back to the system, where the C library offers that."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _status(name):
    """Bytes of one line of the kernel's report on this process. Only Linux has one."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"no {name} in /proc/self/status")


def _one_line(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _received(pipe):
    try:
        return pipe.recv()
    except EOFError:  # the other end has closed
        return None
