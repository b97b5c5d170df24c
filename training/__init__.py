"""The training command: settings that depend on one another, run folder, failures."""
