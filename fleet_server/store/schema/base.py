"""What every table belongs to. Holds no table."""

from __future__ import annotations

from sqlalchemy import MetaData

metadata = MetaData()

PAIRS = dict[str, str]
"""Labels and the like: what a column holds."""
