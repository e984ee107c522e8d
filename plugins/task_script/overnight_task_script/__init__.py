"""Task plugin: folders of scripts in the manner of autoresearch."""
