"""One of each: an example of a third-party plugin distribution."""
