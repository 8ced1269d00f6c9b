"""Networks: construction by name, initialisation, weights and descriptions."""
