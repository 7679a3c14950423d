import functools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from ..data import Batch
from ._budget import Budget, Graphs
from ._fill import Row, as_row, check_row, fill, form_of
from ._pack import grouped, pack


class LoaderState(NamedTuple):
    """Where a [`Loader`][jraphx_eqx.loading.Loader] stands: in which epoch, and after how many of
    its batches. Two integers, which `eqx.tree_serialise_leaves`, pickle and JSON write."""

    epoch: int = 0
    batch: int = 0


class Loader:
    """Iterates over a data set in padded batches of one shape, each graph once an epoch.

    Graphs come in a new order in each epoch, which depends on `seed` and the number of the epoch
    only, and fill the room in that order: none is dropped. The last batch may hold few graphs.

    `for batch in loader` is one epoch. Between and within epochs, `state()` says where the loader
    stands, and `restore` makes the next `for` go on from there, with the batches that were left.
    A `for` that was left before its end otherwise begins the same epoch again.

    Batches are filled on the host by threads of their own, ahead of their turn, and go to the
    device in one transfer. What the graphs hold is checked once, here.
    """

    def __init__(
        self,
        graphs: Graphs,
        budget: Budget,
        *,
        shuffle: bool = True,
        seed: int = 0,
        sampler: Callable[[np.random.Generator], Any] | None = None,
        stack: int | None = None,
        device: Any = None,
        workers: int = 1,
        check_finite: bool = False,
    ):
        """**Arguments:**

        - `graphs`: a list of [`Data`][jraphx_eqx.data.Data] with the same fields, or anything with
            `len` and `[]` that makes or reads them when they are asked for, such as a
            [`Folder`][jraphx_eqx.loading.Folder] or a `grain.MapDataset`.
        - `budget`: the room of a batch, or several, made by
            [`budget`][jraphx_eqx.loading.budget].
        - `shuffle`: whether graphs come in a random order. Without, they come in theirs.
        - `seed`: of the order.
        - `sampler`: gives the indices of the graphs of an epoch, in their order, from a NumPy
            generator that differs in each epoch. By default all graphs, in a random order. For
            weights: `lambda rng: rng.choice(len(graphs), len(graphs), p=weights)`.
        - `stack`: how many batches to stack along a new first axis, for several devices, or for
            several steps by `jax.lax.scan`. Those that an epoch lacks at its end hold only padding.
        - `device`: a device or a `jax.sharding.Sharding` to put batches on. By default JAX's.
        - `workers`: how many threads read graphs and fill batches, each one batch ahead. Several
            pay where graphs are read from files. The batches are the same for any number.
        - `check_finite`: whether NaN and infinity are errors.

        **Raises:** `ValueError` that names the first graph that does not fit the room, or whose
        fields, dtypes or shapes differ from those of graph 0; if there is no graph; if features
        must be finite and are not.
        """
        if sampler is not None and not shuffle:
            raise ValueError("shuffle must not be False with a sampler, which makes the order")
        if stack is not None and stack < 1:
            raise ValueError(f"stack must be at least 1, got {stack}")
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self.budget, self.seed, self.stack, self.device = budget, seed, stack, device
        self.workers = workers
        num_graphs = len(graphs)
        if num_graphs == 0:
            raise ValueError("graphs must hold at least one graph, got none")
        if sampler is None:
            sampler = functools.partial(_shuffled if shuffle else _in_order, num_graphs)
        self._sampler = sampler
        rows, sizes = [], []
        for position in range(num_graphs):
            row = as_row(position, graphs[position], budget.columns)
            first = rows[0] if rows else row
            check_row(position, row, first, check_finite)
            sizes.append((row.num_nodes, row.num_edges, row.num_late))
            _check_fits(position, row, budget)
            if not rows or isinstance(graphs, list | tuple):
                rows.append(row)
        self._form, self._sizes = form_of(rows[0]), np.array(sizes)
        # Graphs that are made or read are asked for again, batch by batch.
        self._graphs, self._rows = graphs, rows if len(rows) == num_graphs else None
        self._state, self._restored = LoaderState(), False

    def state(self) -> LoaderState:
        """Where the loader stands, all batches that it has given counted."""
        return self._state

    def restore(self, state: LoaderState) -> None:
        """Makes the next `for` go on from `state`. The loader must be made as the one was that
        gave it.

        **Raises:** `ValueError` for a batch that the epoch does not have.
        """
        epoch, batch = LoaderState(*map(int, state))
        if epoch < 0 or not 0 <= batch <= len(self._plan(epoch)):
            raise ValueError(
                f"state must be one of this loader, whose epoch {epoch} has "
                f"{len(self._plan(max(epoch, 0)))} batches, got {state}"
            )
        self._state, self._restored = LoaderState(epoch, batch), True

    def fill(self) -> tuple[np.ndarray, np.ndarray]:
        """How much of the present epoch's batches is real: for each the nodes, edges and graphs in
        it, and those that there is room for."""
        used, room = [], []
        for place, groups in self._plan(self._state.epoch):
            for group in groups:
                used.append((*self._sizes[group, :2].sum(0), len(group)))
                room.append((place.num_nodes, place.num_edges, place.num_graphs))
        return np.array(used), np.array(room)

    def __len__(self) -> int:
        """The number of batches of the present epoch."""
        return len(self._plan(self._state.epoch))

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self._state if self._restored else (self._state.epoch, 0)
        self._state, self._restored = LoaderState(epoch, start), False
        batches = _one_ahead(self._on_device(self._plan(epoch)[start:]))
        for number, batch in enumerate(batches, start + 1):
            self._state = LoaderState(epoch, number)
            yield batch
        self._state = LoaderState(epoch + 1, 0)

    def _plan(self, epoch: int) -> list[tuple[Budget, list[np.ndarray]]]:
        """The room of each batch, or stack of batches, and the indices of its graphs."""
        order = np.asarray(self._sampler(np.random.default_rng((self.seed, epoch))))
        if order.ndim != 1 or order.dtype.kind not in "iu" or not order.size:
            raise ValueError(
                f"sampler must give the indices of an epoch's graphs, one or more, got {order!r}"
            )
        if order.min() < 0 or order.max() >= len(self._sizes):
            raise ValueError(
                f"sampler must give indices in [0, {len(self._sizes)}), the number of graphs, got "
                f"{order.min()} to {order.max()}"
            )
        return grouped(pack(self._sizes, order, self.budget), self.stack or 1)

    def _on_device(self, plan: list[tuple[Budget, list[np.ndarray]]]) -> Iterator[Batch]:
        with ThreadPoolExecutor(self.workers) as threads:
            ahead = deque()
            for part in plan:
                # JAX's settings may hold for this thread only, so the others do not touch it.
                ahead.append(threads.submit(self._fill, *part))
                if len(ahead) > self.workers:
                    yield self._put(ahead.popleft().result())
            while ahead:
                yield self._put(ahead.popleft().result())

    def _fill(self, room: Budget, groups: list[np.ndarray]) -> Any:
        rows = [[self._row(index) for index in group.tolist()] for group in groups]
        return fill(rows, self._form, room, stack=self.stack)

    def _row(self, index: int) -> Row:
        if self._rows is not None:
            return self._rows[index]
        return as_row(index, self._graphs[index], self.budget.columns)

    def _put(self, batch: Any) -> Batch:
        return jax.device_put(batch, self.device)


def _one_ahead(items: Iterator[Batch]) -> Iterator[Batch]:
    for item in items:
        for following in items:
            yield item
            item = following
        yield item


def _shuffled(num_graphs: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(num_graphs)


def _in_order(num_graphs: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(num_graphs)


def _check_fits(position: int, row: Row, budget: Budget) -> None:
    size = row.num_nodes, row.num_edges, row.num_late
    if not any(room.fits(*size) for room in budget.rooms):
        raise ValueError(
            f"graph {position} must fit the budget of {budget.rooms[-1]}, and has {size[0]} nodes "
            f"and {size[1]} edges"
            + (f", {size[2]} of them beyond the columns" if budget.columns else "")
            + "; make the budget from all graphs"
        )
