"""Overnight's tracker for Weights & Biases."""
