"""Networks of the user's own, which functions in the user's code make."""
