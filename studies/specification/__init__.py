"""What a study compares, from its YAML."""
