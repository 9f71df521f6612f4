"""Reusing what an open backbone learned: embeddings, anomaly heads, and anomalib's models behind the same graph."""
