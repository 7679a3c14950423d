import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyG's import warns of what PyTorch has deprecated.
    import torch_geometric.nn  # noqa: F401
