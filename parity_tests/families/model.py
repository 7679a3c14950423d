"""What the entries of models share."""

from .._operator import Variant


def model_variant(name, model, call, mixes=False, **options):
    def build(dtype, key):
        return model(**{"act": "tanh", "norm": "graph_norm", **options}, dtype=dtype, key=key)

    return Variant(name, build, call, "node", minor=True, mixes=mixes)


def with_edges(model, inputs):
    return model(inputs.x, inputs.edge_index, batch=inputs.batch)
