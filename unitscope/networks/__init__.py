"""Networks: construction by name, initialization, weights and descriptions."""
