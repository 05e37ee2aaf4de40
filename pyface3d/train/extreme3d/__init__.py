"""Training of the two networks of Extreme 3D Faces; the loop is that of every network."""
