"""Roll out episodes on the device, and turn their steps into rows on the host."""
