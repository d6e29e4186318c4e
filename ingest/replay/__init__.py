"""Replay stored steps in the simulator, to verify a dataset."""
