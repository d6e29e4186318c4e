"""Can a learned model of the dynamics find their sparsity? Models, their training and their scores.

What prepares rows and what scores needs NumPy alone; JAX is imported by ``models/``, ``losses``, ``training`` and
``evaluation``, which only `jacdb learn` calls.
"""
