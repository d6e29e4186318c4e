"""Which environments there are, how one is loaded, and its transition function x' = F(x, u)."""
