"""Networks: built by name, initialized, filled with weights."""
