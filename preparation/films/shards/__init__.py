"""Films in shards: the parts in which a cache is made, stored and gone on with."""
