"""The one place that touches private names of MJX, Playground and Brax, or patches them."""
