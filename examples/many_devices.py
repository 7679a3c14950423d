"""Trains on all devices, a batch on each, and compares the parameters with those of one device.

    python examples/many_devices.py

A CPU counts as eight devices with XLA_FLAGS=--xla_force_host_platform_device_count=8.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.loading import Loader, budget
from jraphx_eqx.nn.conv import GraphConv
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool

STEPS = 5


class Net(eqx.Module):
    conv1: GraphConv
    pool: TopKPooling
    conv2: GraphConv
    out: eqx.nn.Linear

    def __init__(self, *, key):
        keys = jax.random.split(key, 4)
        dtype = jnp.result_type(float)
        self.conv1 = GraphConv(4, 8, dtype=dtype, key=keys[0])
        self.pool = TopKPooling(8, ratio=0.5, dtype=dtype, key=keys[1])
        self.conv2 = GraphConv(8, 8, dtype=dtype, key=keys[2])
        self.out = eqx.nn.Linear(8, 3, dtype=dtype, key=keys[3])

    def __call__(self, batch: Batch):
        x = jax.nn.relu(self.conv1(batch.x, batch.edge_index))
        x, edge_index, _, graph, _ = self.pool(x, batch.edge_index, batch=batch.batch)
        x = jax.nn.relu(self.conv2(x, edge_index))
        return jax.vmap(self.out)(global_mean_pool(x, graph))


def random_graphs(count: int) -> list[Data]:
    rng = np.random.default_rng(0)
    graphs = []
    for num_nodes in rng.integers(3, 12, count):
        edge_index = rng.integers(0, num_nodes, (2, 2 * num_nodes))
        graphs.append(Data(rng.normal(size=(num_nodes, 4)), edge_index, y=rng.integers(3)))
    return graphs


def total_loss(model: Net, batch: Batch):
    """The sum over the real graphs of a batch."""
    loss = optax.softmax_cross_entropy_with_integer_labels(model(batch), batch.y)
    return jnp.sum(loss, where=batch.graph_mask)


def on_all_devices(model: Net, stacked: Batch, mesh: jax.sharding.Mesh):
    """The mean loss over the graphs of all devices, and its gradient."""
    parameters, rest = eqx.partition(model, eqx.is_array)

    def on_each_device(parameters, stacked):
        batch = jax.tree.map(lambda array: array[0], stacked)
        count = jax.lax.psum(batch.graph_mask.sum(), "device")

        def share(parameters):
            return total_loss(eqx.combine(parameters, rest), batch) / count

        # Devices share the parameters, so that JAX adds their gradients up.
        loss, gradients = jax.value_and_grad(share)(parameters)
        return jax.lax.psum(loss, "device"), gradients

    specs = PartitionSpec(), PartitionSpec("device")
    call = jax.shard_map(on_each_device, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())
    return call(parameters, stacked)


def on_one_device(model: Net, stacked: Batch, _):
    """The same, of the batches one after the other."""

    def mean(model):
        loss = jax.lax.map(lambda batch: total_loss(model, batch), stacked)
        return jnp.sum(loss) / stacked.graph_mask.sum()

    return eqx.filter_value_and_grad(mean)(model)


def train(loss_and_gradient, mesh, loader: Loader, everywhere):
    model = Net(key=jax.random.key(0))
    optimiser = optax.adam(1e-2)
    state = optimiser.init(eqx.filter(model, eqx.is_array))
    # From the first step on where later steps leave them, or the second one compiles again.
    model, state = eqx.filter_shard((model, state), everywhere)

    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def step(model, state, stacked):
        loss, gradients = loss_and_gradient(model, stacked, mesh)
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(model, updates), state, loss

    losses = []
    while len(losses) < STEPS:
        for stacked in loader:
            model, state, loss = step(model, state, stacked)
            losses.append(loss)
    return losses, model


def main():
    mesh = jax.make_mesh((jax.device_count(),), ("device",), axis_types=(AxisType.Auto,))
    graphs = random_graphs(20 * mesh.size)
    room = budget(graphs, batch_size=8)

    def trained(loss_and_gradient, place, everywhere):
        loader = Loader(graphs, room, stack=mesh.size, device=place)
        return train(loss_and_gradient, mesh, loader, everywhere)

    over_devices, copies = (NamedSharding(mesh, PartitionSpec(*axis)) for axis in (["device"], []))
    losses, model = trained(on_all_devices, over_devices, copies)
    first = SingleDeviceSharding(jax.local_devices()[0])
    losses_of_one, model_of_one = trained(on_one_device, first, first)
    ours, theirs = (
        jax.tree.leaves(eqx.filter(tree, eqx.is_array))
        for tree in ((losses, model), (losses_of_one, model_of_one))
    )
    pairs = zip(ours, theirs, strict=True)
    largest = max(np.max(np.abs(np.asarray(one) - np.asarray(other))) for one, other in pairs)
    print(f"devices: {mesh.size}, steps: {len(losses)}, the loss falls: {losses[-1] < losses[0]}")
    print("largest difference from one device:", f"{largest:.0e}")
    return largest


if __name__ == "__main__":
    main()
