"""Random and grid search."""
