"""What benchmarks/kill_sweep.py starts, kills and reads: Overnight and its peers, doing the same work."""
