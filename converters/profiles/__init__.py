"""What kinds of devices can run: shipped as YAML files beside this one, or written by users."""

from converters.profiles.reading import Profile, read_profile, shipped, targets_of

__all__ = ["Profile", "read_profile", "shipped", "targets_of"]
