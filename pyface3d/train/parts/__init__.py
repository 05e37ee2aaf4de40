"""Training of the part network."""
