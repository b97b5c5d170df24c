"""Networks from a film to logits: what they share, and classifiers of several findings."""
