"""How a model's scores fall when its images are corrupted."""
