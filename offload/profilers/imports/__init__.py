"""Profiles made from other tools' traces, one file a tool."""
