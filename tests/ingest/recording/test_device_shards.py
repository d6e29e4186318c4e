"""What the device hands over: its arrays are under way to the host before anybody waits for them."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jacdb.ingest.recording.device_shards import begin_copies
from jacdb.ingest.recording.step_records import ChunkRecord


def test_users_28_the_arrays_that_are_read_are_those_under_way(monkeypatch):
    """JAX keeps a copy with the array that was asked for it: another one of the same data would be copied anew."""
    begun = []
    monkeypatch.setattr(jax, "copy_to_host_async", begun.extend)
    for devices in (jax.devices()[:1], jax.devices()):
        slots = NamedSharding(Mesh(devices, ("slots",)), PartitionSpec(None, "slots"))
        leaves = [jax.device_put(np.ones((3, 4 * len(devices), *more)), slots) for more in ((), (2, 2))]
        begun.clear()
        begin_copies([ChunkRecord(steps=leaves, statistics=jax.numpy.zeros(3))])
        read = [leaf.addressable_data(number) for leaf in leaves for number in range(len(devices))]
        assert {id(one) for one in read} == {id(one) for one in begun} and len(begun) == 2 * len(devices)
