"""What both sides agree on: settings, database, ledger, job specifications, artifact store, errors."""
