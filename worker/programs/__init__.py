"""Programs that the producer starts for what needs torch; each prints one line of JSON."""
