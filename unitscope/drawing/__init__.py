"""Pictures: mosaics, contact sheets, figures and charts."""
