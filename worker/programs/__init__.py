"""Programs that the producer starts for tasks that need torch; each prints one line of JSON."""
