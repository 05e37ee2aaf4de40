"""Training: one readable loop, what it is fed, and what it leaves behind. Needs torch and numpy alone."""
