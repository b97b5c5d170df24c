"""What a source's values become grey by: windows of CT, percentiles of MRI, several channels."""
