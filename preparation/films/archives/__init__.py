"""Films in an archive from outside, which is not trusted."""
