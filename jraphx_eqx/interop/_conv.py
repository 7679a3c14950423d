import equinox as eqx
import numpy as np

from ..nn.conv import (
    DynamicEdgeConv,
    EdgeConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GINEConv,
    GraphConv,
    LEConv,
    NNConv,
    PANConv,
    PNAConv,
    PointNetConv,
    SAGEConv,
)
from ..nn.dense import DenseGATConv, DenseGCNConv, DenseGINConv, DenseGraphConv, DenseSAGEConv
from ._layer import register_layer
from ._twins import part_from_pyg, qualified_name, resolve, to_pyg

_AGGREGATIONS = {
    "SumAggregation": "add",
    "MeanAggregation": "mean",
    "MaxAggregation": "max",
    "MinAggregation": "min",
}


# A layer that was made with in_channels=-1 keeps that number; its linear maps learn the true one.


def _gcn_from_pyg(module, **kwargs):
    _check(module, aggr="add")
    return GCNConv(
        module.lin.in_channels,
        module.out_channels,
        improved=module.improved,
        add_self_loops=module.add_self_loops,
        normalize=module.normalize,
        bias=module.bias is not None,
        **kwargs,
    )


def _gcn_to_pyg(kind, layer):
    return kind(
        layer.in_features,
        layer.out_features,
        improved=layer.improved,
        add_self_loops=layer.add_self_loops,
        normalize=layer.normalize,
        bias=layer.bias is not None,
    )


def _gat_from_pyg(module, **kwargs):
    _check(module, aggr="add")
    layer = GATConv(
        module.lin.in_channels,
        module.out_channels,
        heads=module.heads,
        concat=module.concat,
        negative_slope=module.negative_slope,
        dropout=module.dropout,
        add_self_loops=module.add_self_loops,
        edge_dim=None if module.lin_edge is None else module.lin_edge.in_channels,
        fill_value=_fill_value(module),
        bias=module.bias is not None,
        residual=module.res is not None,
        **kwargs,
    )
    return eqx.nn.inference_mode(layer, value=not module.training)


def _gat_to_pyg(kind, layer):
    module = kind(
        layer.in_features,
        layer.out_features,
        heads=layer.heads,
        concat=layer.concat,
        negative_slope=layer.negative_slope,
        dropout=layer.dropout.p,
        add_self_loops=layer.add_self_loops,
        edge_dim=layer.edge_dim,
        fill_value=layer.fill_value,
        bias=layer.bias is not None,
        residual=layer.res is not None,
    )
    return module.train(not layer.dropout.inference)


def _sage_from_pyg(module, **kwargs):
    aggr = _check(module)
    # Several aggregations make wider rows for `lin_l`.
    in_features = module.lin_l.in_channels if isinstance(aggr, str) else module.in_channels
    return SAGEConv(
        aggr=aggr,
        in_features=in_features,
        out_features=module.out_channels,
        normalize=module.normalize,
        root_weight=module.root_weight,
        project=module.project,
        bias=module.lin_l.bias is not None,
        **kwargs,
    )


def _sage_to_pyg(kind, layer):
    return kind(
        layer.in_features,
        layer.out_features,
        aggr=_aggregation_to_pyg(layer),
        normalize=layer.normalize,
        root_weight=layer.lin_r is not None,
        project=layer.lin is not None,
        bias=layer.lin_l.bias is not None,
    )


def _graph_from_pyg(module, **kwargs):
    return GraphConv(
        aggr=_check(module),
        in_features=module.lin_root.in_channels,
        out_features=module.out_channels,
        bias=module.lin_rel.bias is not None,
        **kwargs,
    )


def _graph_to_pyg(kind, layer):
    bias = layer.lin_rel.bias is not None
    return kind(layer.in_features, layer.out_features, _aggregation_to_pyg(layer), bias)


def _le_from_pyg(module, **kwargs):
    _check(module, aggr="add")
    sizes = (module.lin1.in_channels, module.out_channels)
    return LEConv(*sizes, module.lin1.bias is not None, **kwargs)


def _le_to_pyg(kind, layer):
    return kind(layer.in_features, layer.out_features, layer.lin1.bias is not None)


def _pan_from_pyg(module, **kwargs):
    _check(module, aggr="add")
    return PANConv(module.lin.in_channels, module.out_channels, module.filter_size, **kwargs)


def _pan_to_pyg(kind, layer):
    return kind(layer.in_features, layer.out_features, layer.filter_size)


def _gin_from_pyg(module, dtype, key):
    aggr = _check(module, nn=True)
    nn = part_from_pyg("nn", module.nn)
    in_features, out_features = _ends(module)
    return GINConv(
        in_features,
        out_features,
        nn,
        eps=module.initial_eps,
        train_eps=isinstance(module.eps, resolve("torch.nn.Parameter")),
        aggr=aggr,
        dtype=dtype,
    )


def _gin_to_pyg(kind, layer):
    return kind(to_pyg(layer.nn), train_eps=layer.train_eps, aggr=_aggregation_to_pyg(layer))


def _gine_from_pyg(module, dtype, key):
    aggr = _check(module, nn=True)
    in_features, out_features = _ends(module)
    return GINEConv(
        in_features,
        out_features,
        part_from_pyg("nn", module.nn),
        eps=module.initial_eps,
        train_eps=isinstance(module.eps, resolve("torch.nn.Parameter")),
        edge_dim=None if module.lin is None else module.lin.in_channels,
        aggr=aggr,
        dtype=dtype,
        key=key,
    )


def _gine_to_pyg(kind, layer):
    options = {"train_eps": layer.train_eps, "edge_dim": layer.edge_dim}
    return kind(to_pyg(layer.nn), **options, aggr=_aggregation_to_pyg(layer))


def _gatv2_from_pyg(module, **kwargs):
    _check(module, aggr="add")
    layer = GATv2Conv(
        module.lin_l.in_channels,
        module.out_channels,
        heads=module.heads,
        concat=module.concat,
        negative_slope=module.negative_slope,
        dropout=module.dropout,
        add_self_loops=module.add_self_loops,
        edge_dim=None if module.lin_edge is None else module.lin_edge.in_channels,
        fill_value=_fill_value(module),
        bias=module.bias is not None,
        residual=module.res is not None,
        **kwargs,
    )
    return eqx.nn.inference_mode(layer, value=not module.training)


def _edge_from_pyg(module, dtype, key):
    aggr = _check(module, nn=True)
    width, out_features = _ends(module)
    return EdgeConv(width // 2, out_features, part_from_pyg("nn", module.nn), aggr)


def _edge_to_pyg(kind, layer):
    return kind(to_pyg(layer.nn), _aggregation_to_pyg(layer))


def _dynamic_edge_from_pyg(module, dtype, key):
    aggr = _check(module, nn=True)
    width, out_features = _ends(module)
    nn = part_from_pyg("nn", module.nn)
    return DynamicEdgeConv(width // 2, out_features, nn, module.k, aggr)


def _dynamic_edge_to_pyg(kind, layer):
    return kind(to_pyg(layer.nn), layer.k, _aggregation_to_pyg(layer))


def _nn_from_pyg(module, **kwargs):
    aggr = _check(module, nn=True)
    if not isinstance(module.in_channels, int):
        reason = "it is for bipartite graphs; in_channels must be one number"
        raise _no_twin(module, f"in_channels={module.in_channels}", reason)
    return NNConv(
        module.lin.in_channels if module.root_weight else module.in_channels,
        module.out_channels,
        part_from_pyg("nn", module.nn),
        aggr,
        module.root_weight,
        module.bias is not None,
        **kwargs,
    )


def _nn_to_pyg(kind, layer):
    return kind(
        layer.in_features,
        layer.out_features,
        to_pyg(layer.nn),
        aggr=_aggregation_to_pyg(layer),
        root_weight=layer.lin is not None,
        bias=layer.bias is not None,
    )


def _point_net_from_pyg(module, dtype, key):
    aggr = _check(module, nn=True)
    local, last = (
        None if getattr(module, name) is None else part_from_pyg(name, getattr(module, name))
        for name in ("local_nn", "global_nn")
    )
    return PointNetConv(local, last, module.add_self_loops, aggr)


def _point_net_to_pyg(kind, layer):
    networks = (None if nn is None else to_pyg(nn) for nn in (layer.local_nn, layer.global_nn))
    return kind(*networks, layer.add_self_loops, aggr=_aggregation_to_pyg(layer))


def _pna_from_pyg(module, **kwargs):
    _check(module, nn=True)
    aggr = part_from_pyg("aggr_module", module.aggr_module)
    pre, post = module.pre_nns[0], module.post_nns[0]
    acts = [layer for nn in (pre, post) for layer in nn[1::2]]
    return PNAConv(
        module.in_channels,
        module.out_channels,
        [type(one).__name__ for one in aggr.aggr.aggrs],
        aggr.scaler,
        np.ones(2, int),
        edge_dim=module.edge_dim,
        towers=module.towers,
        pre_layers=len(pre[::2]),
        post_layers=len(post[::2]),
        divide_input=module.divide_input,
        act=part_from_pyg("act", acts[0]) if acts else "relu",
        train_norm=aggr.train_norm,
        **kwargs,
    )


def _pna_to_pyg(kind, layer):
    pre, post = layer.pre_nns[0].layers, layer.post_nns[0].layers
    acts = [*pre[1::2], *post[1::2]]
    return kind(
        layer.in_features,
        layer.out_features,
        [type(one).__name__ for one in layer.aggr_module.aggr.aggrs],
        list(layer.aggr_module.scaler),
        resolve("torch.ones")(2, dtype=resolve("torch.long")),
        edge_dim=layer.edge_dim,
        towers=layer.towers,
        pre_layers=len(pre[::2]),
        post_layers=len(post[::2]),
        divide_input=layer.divide_input,
        act=to_pyg(acts[0]) if acts else "relu",
        train_norm=layer.aggr_module.train_norm,
    )


def _ends(module):
    """The number of features that go into its network and come out, by the linear maps there."""
    linear = (resolve("torch.nn.Linear"), resolve("torch_geometric.nn.Linear"))
    maps = [child for child in module.nn.modules() if isinstance(child, linear)]
    if not maps:
        raise ValueError(
            f"{qualified_name(module.nn)} in {type(module).__name__} must have a linear map, "
            f"which says how many features there are; make our {type(module).__name__} yourself, "
            "and load the state dict"
        )
    ends = (maps[0], "in"), (maps[-1], "out")
    return [
        getattr(one, f"{end}_features", None) or getattr(one, f"{end}_channels")
        for one, end in ends
    ]


def _dense_gcn_from_pyg(module, **kwargs):
    sizes = (module.in_channels, module.out_channels)
    return DenseGCNConv(*sizes, module.improved, module.bias is not None, **kwargs)


def _dense_gcn_to_pyg(kind, layer):
    sizes = (layer.in_features, layer.out_features)
    return kind(*sizes, layer.improved, layer.bias is not None)


def _dense_sage_from_pyg(module, **kwargs):
    sizes = (module.in_channels, module.out_channels)
    return DenseSAGEConv(*sizes, module.normalize, module.lin_root.bias is not None, **kwargs)


def _dense_sage_to_pyg(kind, layer):
    bias = layer.lin_root.bias is not None
    return kind(layer.in_features, layer.out_features, layer.normalize, bias)


def _dense_graph_from_pyg(module, **kwargs):
    sizes = (module.in_channels, module.out_channels)
    return DenseGraphConv(*sizes, module.aggr, module.lin_rel.bias is not None, **kwargs)


def _dense_graph_to_pyg(kind, layer):
    bias = layer.lin_rel.bias is not None
    return kind(layer.in_features, layer.out_features, layer.aggr, bias)


def _dense_gat_from_pyg(module, **kwargs):
    layer = DenseGATConv(
        module.in_channels,
        module.out_channels,
        module.heads,
        module.concat,
        module.negative_slope,
        module.dropout,
        module.bias is not None,
        **kwargs,
    )
    return eqx.nn.inference_mode(layer, value=not module.training)


def _dense_gat_to_pyg(kind, layer):
    module = kind(
        layer.in_features,
        layer.out_features,
        layer.heads,
        layer.concat,
        layer.negative_slope,
        layer.dropout.p,
        layer.bias is not None,
    )
    return module.train(not layer.dropout.inference)


def _dense_gin_from_pyg(module, dtype, key):
    nn, (in_features, out_features) = part_from_pyg("nn", module.nn), _ends(module)
    train_eps = isinstance(module.eps, resolve("torch.nn.Parameter"))
    return DenseGINConv(in_features, out_features, nn, module.initial_eps, train_eps, dtype=dtype)


def _dense_gin_to_pyg(kind, layer):
    return kind(to_pyg(layer.nn), train_eps=layer.train_eps)


def _fill_value(module):
    value = module.fill_value
    if isinstance(value, str | int | float):
        return value
    if value.numel() == 1:
        return value.item()
    raise ValueError(
        f"{qualified_name(module)} with a fill_value of {value.numel()} numbers has no twin; "
        "it must be one number or the name of an aggregation"
    )


def _check(module, aggr=None, nn=False):
    """Raises for options that every convolution of PyG has and ours do not.

    Returns the aggregation, by name where it has one, which must be `aggr` where that is given.
    With `nn` the layer has a network of any kind, and no widths of its own.
    """
    for option, allowed in {
        "flow": ("source_to_target",),
        "node_dim": (-2, 0),
        "decomposed_layers": (1,),
    }.items():
        value = getattr(module, option)
        if value not in allowed:
            raise _no_twin(module, f"{option}={value!r}", f"it must be {allowed[0]!r}")
    if not nn and not isinstance(module.in_channels, int):
        reason = "it is for bipartite graphs; in_channels must be one number"
        raise _no_twin(module, f"in_channels={module.in_channels}", reason)
    found = _aggregation(module)
    if aggr not in (None, found):
        raise _no_twin(module, f"aggr={module.aggr!r}", f"it must be {aggr!r}")
    linear = resolve("torch_geometric.nn.Linear")
    for name, child in module.named_children():
        if name != "aggr_module" and not nn and type(child) is not linear:
            reason = "it must be a torch_geometric.nn.Linear"
            raise _no_twin(module, f"{name}={qualified_name(child)}", reason)
    return found


def _aggregation(module):
    for class_name, name in _AGGREGATIONS.items():
        if type(module.aggr_module) is resolve(f"torch_geometric.nn.aggr.{class_name}"):
            return name
    return part_from_pyg("aggr_module", module.aggr_module)


def _aggregation_to_pyg(layer):
    return layer.aggr if layer.aggr_module is None else to_pyg(layer.aggr_module)


def _no_twin(module, option, reason):
    return ValueError(f"{qualified_name(module)} with {option} has no twin: {reason}")


register_layer("torch_geometric.nn.GCNConv", GCNConv, _gcn_from_pyg, _gcn_to_pyg)
register_layer("torch_geometric.nn.GATConv", GATConv, _gat_from_pyg, _gat_to_pyg)
register_layer("torch_geometric.nn.GINConv", GINConv, _gin_from_pyg, _gin_to_pyg)
register_layer("torch_geometric.nn.GINEConv", GINEConv, _gine_from_pyg, _gine_to_pyg)
register_layer("torch_geometric.nn.GATv2Conv", GATv2Conv, _gatv2_from_pyg, _gat_to_pyg)
register_layer("torch_geometric.nn.EdgeConv", EdgeConv, _edge_from_pyg, _edge_to_pyg)
register_layer(
    "torch_geometric.nn.DynamicEdgeConv",
    DynamicEdgeConv,
    _dynamic_edge_from_pyg,
    _dynamic_edge_to_pyg,
)
register_layer("torch_geometric.nn.NNConv", NNConv, _nn_from_pyg, _nn_to_pyg)
register_layer(
    "torch_geometric.nn.PointNetConv", PointNetConv, _point_net_from_pyg, _point_net_to_pyg
)
register_layer("torch_geometric.nn.PNAConv", PNAConv, _pna_from_pyg, _pna_to_pyg)
register_layer("torch_geometric.nn.SAGEConv", SAGEConv, _sage_from_pyg, _sage_to_pyg)
register_layer("torch_geometric.nn.GraphConv", GraphConv, _graph_from_pyg, _graph_to_pyg)
register_layer("torch_geometric.nn.LEConv", LEConv, _le_from_pyg, _le_to_pyg)
register_layer("torch_geometric.nn.PANConv", PANConv, _pan_from_pyg, _pan_to_pyg)
register_layer(
    "torch_geometric.nn.DenseGCNConv", DenseGCNConv, _dense_gcn_from_pyg, _dense_gcn_to_pyg
)
register_layer(
    "torch_geometric.nn.DenseSAGEConv", DenseSAGEConv, _dense_sage_from_pyg, _dense_sage_to_pyg
)
register_layer(
    "torch_geometric.nn.DenseGraphConv", DenseGraphConv, _dense_graph_from_pyg, _dense_graph_to_pyg
)
register_layer(
    "torch_geometric.nn.DenseGATConv", DenseGATConv, _dense_gat_from_pyg, _dense_gat_to_pyg
)
register_layer(
    "torch_geometric.nn.DenseGINConv", DenseGINConv, _dense_gin_from_pyg, _dense_gin_to_pyg
)
