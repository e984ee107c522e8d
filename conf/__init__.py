"""Hydra configuration that core owns; plugins add their own groups and options."""
