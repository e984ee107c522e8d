"""Publishing: a trial's checkpoint, with its model card, as a folder or a repository of the hub."""
