import equinox as eqx

from ..nn.pool import (
    ASAPooling,
    ClusterPooling,
    DMoNPooling,
    EdgePooling,
    MemPooling,
    PANPooling,
    SAGPooling,
    SelectTopK,
    TopKPooling,
    dense_diff_pool,
    dense_mincut_pool,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)
from ..nn.pool._edge import EDGE_SCORES
from ._layer import register_layer
from ._nonlinearity import nonlinearity_from_pyg, nonlinearity_to_pyg
from ._twins import from_pyg, part_from_pyg, qualified_name, register_function, resolve, to_pyg

_STAGES = {
    "select": "torch_geometric.nn.pool.select.SelectTopK",
    "connect": "torch_geometric.nn.pool.connect.FilterEdges",
}


def _select_from_pyg(module, **kwargs):
    return SelectTopK(module.in_channels, **_selection(module), **kwargs)


def _select_to_pyg(kind, layer):
    nonlinearity = nonlinearity_to_pyg(layer.nonlinearity)
    return kind(layer.in_features, layer.ratio, layer.min_score, nonlinearity)


def _topk_from_pyg(module, **kwargs):
    _check_stages(module)
    return TopKPooling(
        module.in_channels,
        multiplier=_number(module.multiplier),
        **_selection(module.select),
        **kwargs,
    )


def _topk_to_pyg(kind, layer):
    return _with_select(kind(layer.in_features, multiplier=layer.multiplier), layer)


def _sag_from_pyg(module, **kwargs):
    _check_stages(module)
    gnn = from_pyg(module.gnn)
    return SAGPooling(
        gnn.in_features,
        gnn=gnn,
        multiplier=_number(module.multiplier),
        **_selection(module.select),
        **kwargs,
    )


def _sag_to_pyg(kind, layer):
    gnn = to_pyg(layer.gnn)
    # PyG makes the scorer itself, from its class.
    module = kind(layer.in_features, GNN=lambda *_: gnn, multiplier=layer.multiplier)
    return _with_select(module, layer)


_SCORE_METHODS = {
    "compute_edge_score_softmax": "softmax",
    "compute_edge_score_tanh": "tanh",
    "compute_edge_score_sigmoid": "sigmoid",
}


def _edge_from_pyg(module, **kwargs):
    method = module.compute_edge_score
    known = {getattr(type(module), theirs): ours for theirs, ours in _SCORE_METHODS.items()}
    if method not in known:
        raise ValueError(
            f"{qualified_name(module)} with edge_score_method={method!r} has no twin: it must be "
            f"one of {', '.join(_SCORE_METHODS)}"
        )
    layer = EdgePooling(
        module.in_channels,
        known[method],
        module.dropout,
        module.add_to_edge_score,
        **kwargs,
    )
    return eqx.nn.inference_mode(layer, value=not module.training)


def _edge_to_pyg(kind, layer):
    methods = [
        getattr(kind, theirs)
        for theirs, ours in _SCORE_METHODS.items()
        if layer.edge_score_method is EDGE_SCORES[ours]
    ]
    if not methods:
        raise ValueError(
            f"EdgePooling with edge_score_method={layer.edge_score_method!r} has no twin: it must "
            f"be one of {', '.join(_SCORE_METHODS.values())}"
        )
    module = kind(layer.in_features, methods[0], layer.dropout.p, layer.add_to_edge_score)
    return module.train(not layer.dropout.inference)


def _dmon_from_pyg(module, **kwargs):
    widths, mlp = module.mlp.channel_list, from_pyg(module.mlp)
    plain = mlp.act is None and all(p.p == 0 for p in mlp.dropouts)
    if not plain or any(lin.bias is None for lin in mlp.lins):
        raise ValueError(
            f"{qualified_name(module)} with mlp={module.mlp} has no twin: it must be made of "
            "linear maps with a bias alone"
        )
    layer = DMoNPooling(widths[:-1], widths[-1], module.dropout, pyg_compat=True, **kwargs)
    return eqx.nn.inference_mode(layer, value=not module.training)


def _dmon_to_pyg(kind, layer):
    if not layer.pyg_compat:
        raise ValueError(
            "DMoNPooling with pyg_compat=False has no twin: PyG's cluster_loss is another one. "
            "Make it with pyg_compat=True"
        )
    module = kind(list(layer.mlp.features[:-1]), layer.clusters, layer.dropout.p)
    return module.train(not layer.dropout.inference)


def _mem_from_pyg(module, **kwargs):
    sizes = (module.in_channels, module.out_channels, module.heads, module.num_clusters)
    return MemPooling(*sizes, _number(module.tau), **kwargs)


def _mem_to_pyg(kind, layer):
    sizes = (layer.in_features, layer.out_features, layer.heads, layer.clusters)
    return kind(*sizes, layer.tau)


def _asap_from_pyg(module, **kwargs):
    _check_stages(module, "select")
    inner = module.gnn_intra_cluster
    layer = ASAPooling(
        module.in_channels,
        _selection(module.select)["ratio"],
        None if inner is None else part_from_pyg("gnn_intra_cluster", inner),
        module.dropout,
        module.negative_slope,
        module.add_self_loops,
        **kwargs,
    )
    return eqx.nn.inference_mode(layer, value=not module.training)


def _asap_to_pyg(kind, layer):
    inner = layer.gnn_intra_cluster
    gnn = None if inner is None else to_pyg(inner)
    module = kind(
        layer.in_features,
        layer.select.ratio,
        # PyG makes the network itself, from its class.
        None if gnn is None else lambda *_: gnn,
        layer.dropout.p,
        layer.negative_slope,
        layer.add_self_loops,
    )
    return module.train(not layer.dropout.inference)


def _pan_from_pyg(module, **kwargs):
    _check_stages(module)
    options = {"multiplier": _number(module.multiplier), **_selection(module.select)}
    return PANPooling(module.in_channels, **options, **kwargs)


def _pan_to_pyg(kind, layer):
    return _with_select(kind(layer.in_features, multiplier=layer.multiplier), layer)


def _cluster_from_pyg(module, **kwargs):
    options = (module.edge_score_method, module.dropout, _number(module.threshold))
    layer = ClusterPooling(module.in_channels, *options, **kwargs)
    return eqx.nn.inference_mode(layer, value=not module.training)


def _cluster_to_pyg(kind, layer):
    options = (layer.edge_score_method, layer.dropout.p, layer.threshold)
    return kind(layer.in_features, *options).train(not layer.dropout.inference)


def _selection(select):
    ratio, min_score = _number(select.ratio), _number(select.min_score)
    if ratio is not None and ratio >= 1:
        ratio = int(ratio)  # as PyG does; ours must be whole
    return {
        "ratio": ratio,
        "min_score": min_score,
        "nonlinearity": nonlinearity_from_pyg(select.act),
    }


def _number(option):
    """A number of NumPy or PyTorch as one of Python."""
    return option.item() if hasattr(option, "item") else option


def _with_select(module, layer):
    module.select = to_pyg(layer.select)
    # The pool keeps copies, for its representation only.
    module.ratio, module.min_score = layer.select.ratio, layer.select.min_score
    return module


def _check_stages(module, *names):
    for name in names or _STAGES:
        stage, theirs = getattr(module, name), _STAGES[name]
        if type(stage) is not resolve(theirs):
            raise ValueError(
                f"{qualified_name(module)} with {name}={qualified_name(stage)} has no twin: it "
                f"must be a {theirs}"
            )


register_layer("torch_geometric.nn.TopKPooling", TopKPooling, _topk_from_pyg, _topk_to_pyg)
register_layer("torch_geometric.nn.SAGPooling", SAGPooling, _sag_from_pyg, _sag_to_pyg)
register_layer("torch_geometric.nn.EdgePooling", EdgePooling, _edge_from_pyg, _edge_to_pyg)
register_layer("torch_geometric.nn.ASAPooling", ASAPooling, _asap_from_pyg, _asap_to_pyg)
register_layer("torch_geometric.nn.PANPooling", PANPooling, _pan_from_pyg, _pan_to_pyg)
register_layer(
    "torch_geometric.nn.ClusterPooling", ClusterPooling, _cluster_from_pyg, _cluster_to_pyg
)
register_layer("torch_geometric.nn.DMoNPooling", DMoNPooling, _dmon_from_pyg, _dmon_to_pyg)
register_layer("torch_geometric.nn.MemPooling", MemPooling, _mem_from_pyg, _mem_to_pyg)
register_layer(_STAGES["select"], SelectTopK, _select_from_pyg, _select_to_pyg)
register_function("torch_geometric.nn.global_add_pool", global_add_pool)
register_function("torch_geometric.nn.global_mean_pool", global_mean_pool)
register_function("torch_geometric.nn.global_max_pool", global_max_pool)
register_function("torch_geometric.nn.dense_diff_pool", dense_diff_pool)
register_function("torch_geometric.nn.dense_mincut_pool", dense_mincut_pool)
