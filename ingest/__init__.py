"""Makes rows: environments rolled out, differentiated, and written. The only part that needs a simulator.

>>> from jacdb.ingest.pipeline import Request, ingest
>>> ingest(Request("CheetahRun", episodes=4), "data")
"""
