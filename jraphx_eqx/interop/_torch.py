"""Layers of PyTorch itself that networks with pooling are made of, and PyG's norms."""

import equinox as eqx

from ..nn import Embedding, GRUCell, LayerNorm, Linear, LSTMCell, norm
from ._layer import register_layer
from ._twins import qualified_name


def _linear_from_pyg(module, **kwargs):
    width = getattr(module, "in_features", None) or module.in_channels
    return Linear(width, module.weight.shape[0], module.bias is not None, **kwargs)


def _linear_to_pyg(kind, layer):
    return kind(layer.in_features, layer.out_features, bias=layer.bias is not None)


def _embedding_from_pyg(module, **kwargs):
    if module.max_norm is not None or module.scale_grad_by_freq:
        raise _no_twin(module, "max_norm or scale_grad_by_freq")
    return Embedding(module.num_embeddings, module.embedding_dim, module.padding_idx, **kwargs)


def _embedding_to_pyg(kind, layer):
    return kind(layer.num_embeddings, layer.features, padding_idx=layer.padding_idx)


def _layer_norm_from_torch(module, **kwargs):
    if len(module.normalized_shape) != 1:
        raise _no_twin(module, f"normalized_shape={tuple(module.normalized_shape)}")
    affine, bias = module.elementwise_affine, module.bias is not None
    return LayerNorm(module.normalized_shape[0], module.eps, affine, bias, **kwargs)


def _layer_norm_to_torch(kind, layer):
    affine, bias = layer.weight is not None, layer.bias is not None
    return kind(layer.in_features, layer.eps, elementwise_affine=affine, bias=bias or not affine)


def _cell_from_pyg(ours):
    def convert(module, **kwargs):
        return ours(module.input_size, module.hidden_size, module.bias, **kwargs)

    return convert


def _cell_to_pyg(kind, layer):
    return kind(layer.in_features, layer.hidden_features, bias=layer.bias_ih is not None)


def _batch_norm_options(inner):
    return (inner.eps, inner.momentum, inner.affine, inner.track_running_stats)


def _batch_norm_1d_from_pyg(module, **kwargs):
    layer = norm.BatchNorm1d(module.num_features, *_batch_norm_options(module), **kwargs)
    return eqx.nn.inference_mode(layer, value=not module.training)


def _arguments(layer):
    affine, tracked = layer.weight is not None, layer.running_mean is not None
    return (layer.in_features, layer.eps, layer.momentum, affine, tracked)


def _batch_norm_1d_to_pyg(kind, layer):
    return kind(*_arguments(layer)).train(not layer.inference)


def _batch_norm_from_pyg(module, **kwargs):
    options = _batch_norm_options(module.module)
    layer = norm.BatchNorm(module.in_channels, *options, module.allow_single_element, **kwargs)
    return eqx.nn.inference_mode(layer, value=not module.module.training)


def _batch_norm_to_pyg(kind, layer):
    module = kind(*_arguments(layer.module), allow_single_element=layer.allow_single_element)
    return module.train(not layer.module.inference)


def _graph_norm_from_pyg(module, **kwargs):
    return norm.GraphNorm(module.in_channels, module.eps, **kwargs)


def _graph_norm_to_pyg(kind, layer):
    return kind(layer.in_features, layer.eps)


def _layer_norm_from_pyg(module, **kwargs):
    return norm.LayerNorm(module.in_channels, module.eps, module.affine, module.mode, **kwargs)


def _layer_norm_to_pyg(kind, layer):
    return kind(layer.in_features, layer.eps, layer.weight is not None, layer.mode)


def _no_twin(module, what):
    return ValueError(f"{qualified_name(module)} with {what} has no twin")


register_layer("torch.nn.Linear", Linear, _linear_from_pyg, _linear_to_pyg)
register_layer("torch_geometric.nn.Linear", Linear, _linear_from_pyg, _linear_to_pyg)
register_layer("torch.nn.Embedding", Embedding, _embedding_from_pyg, _embedding_to_pyg)
register_layer("torch.nn.LayerNorm", LayerNorm, _layer_norm_from_torch, _layer_norm_to_torch)
register_layer("torch.nn.GRUCell", GRUCell, _cell_from_pyg(GRUCell), _cell_to_pyg)
register_layer("torch.nn.LSTMCell", LSTMCell, _cell_from_pyg(LSTMCell), _cell_to_pyg)
register_layer(
    "torch.nn.BatchNorm1d", norm.BatchNorm1d, _batch_norm_1d_from_pyg, _batch_norm_1d_to_pyg
)
register_layer(
    "torch_geometric.nn.BatchNorm", norm.BatchNorm, _batch_norm_from_pyg, _batch_norm_to_pyg
)
register_layer(
    "torch_geometric.nn.GraphNorm", norm.GraphNorm, _graph_norm_from_pyg, _graph_norm_to_pyg
)
register_layer(
    "torch_geometric.nn.LayerNorm", norm.LayerNorm, _layer_norm_from_pyg, _layer_norm_to_pyg
)
