"""Linear and spatial algebra, laid out for large batches of small robots. It knows no environment."""
