"""Networks of other packages, as they are."""
