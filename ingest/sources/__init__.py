"""Where trajectories of any MuJoCo model come from: environments of other suites, models of one's own, recordings."""
