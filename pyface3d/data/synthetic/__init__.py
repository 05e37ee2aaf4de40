"""Unlimited, seeded pictures of synthetic faces with exact labels; needs torch and numpy only."""
