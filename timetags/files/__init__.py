"""Tag files: the segments of the project, and the formats of other programs."""
