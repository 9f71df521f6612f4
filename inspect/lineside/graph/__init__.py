"""The exported graph: torch modules to ONNX, joining graphs, and running them in ONNX Runtime."""
