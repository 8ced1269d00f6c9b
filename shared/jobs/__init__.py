"""Jobs and their shards: tables, ledger, and the broker that carries shards' ids."""
