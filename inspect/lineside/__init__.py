"""lineside: defect inspection from a few good images to one ONNX file that runs on the line's CPU."""

__version__ = "0.1.0"

__all__ = ["__version__"]
