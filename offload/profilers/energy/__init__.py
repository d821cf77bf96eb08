"""Meters of energy, one file each, and the procedure that measures a model with one."""
