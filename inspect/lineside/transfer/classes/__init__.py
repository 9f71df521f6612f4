"""What kind of defect it is, learnt from few examples: pooled features, a linear map, and "none of these"."""
