"""Jobs and their shards: tables, ledger, and the broker that delivers shard ids to workers."""
