"""Configuration: compose with Hydra, validate, suggest, print."""
