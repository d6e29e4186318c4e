"""Exact Jacobians of one control step. It reads no file and writes none."""
