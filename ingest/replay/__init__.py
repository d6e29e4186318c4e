"""Stored steps taken again by the simulator, to check a dataset."""
