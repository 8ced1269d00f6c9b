"""Code shared by producer and worker: settings, database, ledger, job specifications, artifact store, errors."""
