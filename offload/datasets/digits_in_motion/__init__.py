"""`digits-in-motion`: clips of handwritten digits that move over photographs, with the truth about each frame."""
