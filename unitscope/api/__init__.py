"""Public interface of the library, re-exported by ``unitscope``: one module per analysis."""
