import importlib
import multiprocessing
import time
import warnings

from ._inputs import random_batch


class Worker:
    """A process for one framework, so that the thread pools of the others are not in its way."""

    def __init__(self, module: str):
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(module, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def prepare(self, num_graphs: int, num_nodes: int) -> list[tuple[str, str]]:
        """Makes the inputs; returns what can be timed."""
        return self._ask("prepare", num_graphs, num_nodes)

    def time(self, operation: tuple[str, str], calls: int, seconds: float) -> list[float]:
        """Seconds of up to `calls` calls, after one that is not counted."""
        return self._ask("time", operation, calls, seconds)

    def _ask(self, *request):
        self._ours.send(request)
        answer = self._ours.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(module, pipe):
    warnings.simplefilter("ignore")
    framework = importlib.import_module(module)
    operations = {}
    while (request := _received(pipe)) is not None:
        match request:
            case "prepare", num_graphs, num_nodes:
                operations = framework.operations(random_batch(num_graphs, num_nodes))
                pipe.send(list(operations))
            case "time", operation, calls, seconds:
                try:
                    pipe.send(_times(operations[operation], calls, seconds))
                except Exception as error:
                    pipe.send(RuntimeError(f"{module}, {operation}: {error}"))


def _received(pipe):
    try:
        return pipe.recv()
    except EOFError:  # the other end has closed
        return None


def _times(function, calls, seconds):
    function()
    times = []
    while len(times) < calls and sum(times) < seconds:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times
