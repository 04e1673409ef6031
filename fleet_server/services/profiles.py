"""Profiles that devices report: what may be one."""

from __future__ import annotations

from edgekit.device import MAX_WORD_CHARS, MAX_WORDS, DeviceProfile
from edgekit.errors import UsageError


def check_profile(profile: DeviceProfile) -> None:
    """Refuse a profile that no device has.

    Raises:
        UsageError: Too many or too long words, or a number out of range.
    """
    if not profile.is_sound:
        raise UsageError(
            f"not a device's: more than {MAX_WORDS} words, one of over {MAX_WORD_CHARS} "
            "characters, or a number out of range",
            where="profile",
        )
