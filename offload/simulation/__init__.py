"""Replaying a changing link and server under a plan: what following its policy would win."""
