"""Every cell of a study, done once."""
