"""Episodes rolled out on the device, and their steps turned into rows on the host."""
