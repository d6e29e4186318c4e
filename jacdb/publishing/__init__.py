"""Publish datasets on the Hugging Face Hub, and pull them from there."""
