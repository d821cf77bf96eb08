"""Measuring what ELF's plans are made of: a detector on crops, and its loop over a clip, everything on this machine."""
