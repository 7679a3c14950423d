import warnings

from ._programs import few_programs, quick_compile, rare_collection  # noqa: F401

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyG's import warns of what PyTorch has deprecated.
    import torch
    import torch_geometric.nn  # noqa: F401

    # PyTorch warns once of its sparse matrices, and once of checks that are neither on nor off.
    torch.sparse.check_sparse_tensor_invariants.disable()
    torch.eye(1).to_sparse_csr()

torch.set_num_threads(1)  # The graphs are small: more threads only wait for each other.
