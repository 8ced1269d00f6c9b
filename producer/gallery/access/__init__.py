"""Who may read the gallery: addresses, the token, and the headers of every response."""
