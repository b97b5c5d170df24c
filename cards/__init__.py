"""Cards: what a synthetic set or a generator says of itself to whoever it is handed on to."""
