"""Roll out environments, differentiate every step, and write the rows: the only part that needs a simulator.

>>> from jacdb.ingest.pipeline import ingest
>>> from jacdb.ingest.run_plan import Request
>>> ingest(Request("CheetahRun", episodes=4), "data")
"""

from jacdb.ingest.compat import warp

warp.leave_out()  # before any module imports MJX
