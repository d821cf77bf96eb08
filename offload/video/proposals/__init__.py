"""Where objects will be in the next frame (ELF's region proposals), from where they were in the frames before."""
