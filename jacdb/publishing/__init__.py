"""Datasets on their way to the Hugging Face Hub and back."""
