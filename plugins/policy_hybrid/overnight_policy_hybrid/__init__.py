"""Policies that combine priors, Optuna's samplers and a model of what fails; and replays."""
