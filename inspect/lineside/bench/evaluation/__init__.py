"""A model against images of known class: what it is worth, and whether it is good enough."""
