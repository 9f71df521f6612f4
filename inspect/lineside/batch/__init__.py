"""Many images judged in one pass: files, folders, a day or a year, with results that survive a crash.

>>> from lineside.batch import inspect_images
>>> from lineside.runtime import Inspector
>>> summary = inspect_images(Inspector("models/caps"), ["sample_data/caps/test"], "inspections/caps")
"""

from lineside.batch.run import InspectOptions, inspect_images
from lineside.batch.summary import Summary
from lineside.batch.table import verdict_table

__all__ = ["InspectOptions", "Summary", "inspect_images", "verdict_table"]
