"""What happens around a training step: checkpoints, records, pictures, throughput."""
