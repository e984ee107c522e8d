"""A task whose trials leave traces outside the study: the independent witness of benchmarks/kill_sweep.py."""
