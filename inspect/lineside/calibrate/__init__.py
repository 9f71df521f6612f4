"""Cross-fitting, thresholds and what they are worth."""
