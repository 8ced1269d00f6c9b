"""Commands that read results and move jobs between homes."""
