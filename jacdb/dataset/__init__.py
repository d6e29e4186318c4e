"""A dataset: where its files are, what they must hold, and how they are read and queried."""
