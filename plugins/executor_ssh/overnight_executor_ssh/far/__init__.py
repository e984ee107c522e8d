"""This executor's own programs for the hosts: standard library only, placed beside those of overnight_jobs.far."""
