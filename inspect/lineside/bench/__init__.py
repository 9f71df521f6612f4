"""Measuring: what a stage costs on this machine, and how a model bears light, pose and optics that get worse."""
