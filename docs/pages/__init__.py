"""The pages that `docs/generate.py` writes, a module each, and what several of them say alike."""
