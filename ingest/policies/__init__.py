"""Policies, which choose the actions: noise, trained networks, and the training of these."""
