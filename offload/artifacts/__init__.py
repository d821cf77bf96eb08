"""The documents that verbs read and write."""
