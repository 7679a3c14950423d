import os
import subprocess
import sys

import jax
import pytest
from helpers import (
    DISTINCT,
    Variant,
    assert_close,
    differentiate,
    entry,
    named,
    random_inputs,
    run,
    stacked,
)
from jax.sharding import AxisType, PartitionSpec

pytestmark = pytest.mark.usefixtures("quick_compile")
NUM_DEVICES = int(os.environ.get("NUM_CPU_DEVICES", "1"))


@pytest.mark.parametrize(**named(DISTINCT))
def test_shard_map_gives_each_device_its_batch(operator: Variant):
    mesh = jax.make_mesh((NUM_DEVICES,), ("batches",), axis_types=(AxisType.Auto,))
    batches = [random_inputs(seed) for seed in range(NUM_DEVICES)]

    def on_device(one_batch):
        inputs = jax.tree.map(lambda leaf: leaf[0], one_batch)
        result = differentiate(operator, operator.module(), inputs)
        # The gradient of the parameters, which all devices share, is a sum over devices.
        result = result._replace(parameters=None)
        return jax.tree.map(lambda leaf: leaf[None], result)

    spec = PartitionSpec("batches")
    sharded = jax.shard_map(on_device, mesh=mesh, in_specs=spec, out_specs=spec)
    results = jax.jit(sharded)(stacked(batches))
    for position, inputs in enumerate(batches):
        expected = run(operator, inputs)._replace(parameters=None)
        assert_close(entry(position, results), expected)


@pytest.mark.skipif(NUM_DEVICES > 1, reason="this is the process that the test starts")
def test_shard_map_on_two_devices():
    # The number of devices is fixed when JAX starts.
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    some = "topk and not min_score or gat_edges"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", some]
    environment = {**os.environ, "XLA_FLAGS": flags, "NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout + child.stderr
    assert "2 passed" in child.stdout, child.stdout
