"""Where frames come from, and whether a recipe's images are fit to train on."""
