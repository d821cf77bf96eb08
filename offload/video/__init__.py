"""Video: clips, what is in them, and the stages by which regions of a frame are offloaded."""
