"""Datasets joined: finished runs added, and runs completed from their shards."""

from jacdb.merging.merge import Merged as Merged
from jacdb.merging.merge import merge as merge
from jacdb.merging.merge import shard_state as shard_state
from jacdb.merging.merge import take as take
