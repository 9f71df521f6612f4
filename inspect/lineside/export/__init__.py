"""The one graph: assembled, proven equal to what was evaluated, and written as a bundle."""
