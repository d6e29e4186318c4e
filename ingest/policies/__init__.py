"""What chooses the actions: noise, trained networks, and the training of these."""
