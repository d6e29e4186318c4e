"""Many runs and commands: a plan as a file, in turn or on a cluster."""
