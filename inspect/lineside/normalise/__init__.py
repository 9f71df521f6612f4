"""From the raw frame to the working tensor: torch modules fitted on good frames and exported with the graph."""
