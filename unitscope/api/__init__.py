"""The face of the library: what ``import unitscope`` offers, a module for each analysis."""
