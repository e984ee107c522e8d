"""Decision rules: greedy and margin."""
