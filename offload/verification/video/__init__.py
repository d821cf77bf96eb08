"""Executing ways of offloading video on servers, all at once, over the serving protocol."""
