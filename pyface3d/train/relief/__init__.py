"""Training of the relief network; the loop is that of every network. Needs torch and numpy alone."""
