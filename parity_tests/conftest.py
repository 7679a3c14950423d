import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyG's import warns of what PyTorch has deprecated.
    import torch
    import torch_geometric.nn  # noqa: F401

torch.set_num_threads(1)  # The graphs are small: more threads only wait for each other.
