"""The server, its client and the emulated link."""
