"""Images of other generators to a synthetic set: of any origin, prepared as a cache was."""
