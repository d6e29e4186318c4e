"""Models of the dynamics that `jacdb learn` can train, and how one is found by its name."""
