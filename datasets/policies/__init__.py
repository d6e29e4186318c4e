"""Policies that `jacdb train` made, one file an environment; installed as jacdb.experts."""
