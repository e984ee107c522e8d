"""Policies on Optuna and its optimisers: TPE, Gaussian process, CMA-ES."""
