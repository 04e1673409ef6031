"""The language that converters, agents and the fleet server share."""

__version__ = "0.1.0"
