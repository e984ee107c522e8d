"""Runs trials as jobs of a Slurm cluster."""
