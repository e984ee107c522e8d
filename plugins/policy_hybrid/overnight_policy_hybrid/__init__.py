"""Policies that combine prior points, a sampler and a model of what fails; and replays."""
