"""Optuna's samplers as policies: TPE, Gaussian process, CMA-ES."""
