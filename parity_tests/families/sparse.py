"""Sparse matrices as dense ones, on which PyG's own code runs."""


class Matrix:
    """What PyG's layers ask of matrices of PyTorch and of torch-sparse. Products have gradients,
    which those of PyTorch do not have on a CPU; torch-sparse need not be installed.

    - `values`: the sum of the values at each place.
    - `there`: the number of entries at each place, be they 0 or not.
    """

    def __init__(self, row, col, value=None, sparse_sizes=None):
        import torch

        ones = torch.ones(len(row))
        places, zeros = (row, col), torch.zeros(sparse_sizes)
        self.there = zeros.index_put(places, ones, accumulate=True)
        self.values = zeros.index_put(places, ones if value is None else value, accumulate=True)

    def _with(self, values, there):
        new = object.__new__(Matrix)
        new.values, new.there = values, there
        return new

    def __matmul__(self, other):
        return self._with(self.values @ other.values, self.there @ other.there)

    def __mul__(self, factors):
        return self._with(self.values * factors, self.there)

    __rmul__ = __mul__

    def row(self):
        return self.there.nonzero()[:, 0]

    def col(self):
        return self.there.nonzero()[:, 1]

    def value(self):
        return self.values[self.row(), self.col()]

    def rowcount(self):
        return (self.there > 0).sum(dim=1)

    def size(self, axis):
        return self.there.shape[axis]

    def t(self):
        return self._with(self.values.T, self.there.T)

    def index_select(self, axis, rows):
        parts = (part.index_select(axis, rows) for part in (self.values, self.there))
        return self._with(*parts)

    def to_sparse_csr(self):
        return self

    # Of torch-sparse.

    @staticmethod
    def eye(rows, columns, **options):
        import torch

        every = torch.arange(rows)
        return Matrix(every, every, sparse_sizes=(rows, columns))

    @property
    def storage(self):
        return self

    def has_value(self):
        return True

    def device(self):
        return None

    def sparse_sizes(self):
        return tuple(self.there.shape)

    def mul_nnz(self, factor, layout):
        return self * factor

    def coalesce(self):
        return self
