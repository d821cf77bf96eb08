"""Ways to have a video's frames looked at by servers: ELF, and what it is compared with."""
