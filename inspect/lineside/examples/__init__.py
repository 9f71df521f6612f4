"""Examples of a bundle in other people's software."""
