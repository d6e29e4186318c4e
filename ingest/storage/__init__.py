"""Rows and runs on disk: Parquet files that exist whole or not at all. It needs no JAX."""
