"""MuJoCo's forward dynamics as MJX computes it, and what it shows of contacts and limits."""
