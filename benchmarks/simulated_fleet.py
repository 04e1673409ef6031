"""A fleet of devices that install a release, in minutes, as arrays. Measures nothing.

Devices poll every five minutes, take a few minutes to download, and try the release for five
minutes. Noise is that of `benchmarks.gate_power`: every device shifts by itself when it swaps
(sd 3 %) and has weather of its own (AR(1), rho 0.8, sd 6 %).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

POLL_MINUTES = 5
PROBATION_MINUTES = 5
INFERENCES_A_MINUTE = 600
BASE_ERRORS = 0.001
NEVER = 1 << 40
_WEATHER = 0.06 * math.sqrt((1 + 0.8) / (1 - 0.8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a release does to devices.

    Attributes:
        name: What is wrong with it.
        fails_trial: Share of devices on which it fails its trial and goes back by itself.
        slowdown: Of the rest, as a share.
        errors: Share of inferences that fail, after the trial.
        silences: Share of devices that are never heard of again after the trial began.
    """

    name: str
    fails_trial: float = 0.0
    slowdown: float = 0.0
    errors: float = BASE_ERRORS
    silences: float = 0.0


@dataclass(slots=True)
class SimulatedFleet:
    """The devices of one trial.

    Args:
        size: How many.
        release: What they are offered.
        rng: Source of randomness; equal seeds give equal fleets to every rule.
    """

    size: int
    release: Release
    rng: np.random.Generator
    activated: Ints = field(init=False)
    offered: Ints = field(init=False)
    ended: Ints = field(init=False)
    back: Ints = field(init=False)
    phase: Ints = field(init=False)
    download: Ints = field(init=False)
    fails: Mask = field(init=False)
    dies: Mask = field(init=False)
    level: Floats = field(init=False)
    shift: Floats = field(init=False)
    weather: Floats = field(init=False)

    def __post_init__(self) -> None:
        never = np.full(self.size, NEVER, dtype=np.int64)
        self.offered, self.activated = never.copy(), never.copy()
        self.ended, self.back = never.copy(), never.copy()
        self.phase = self.rng.integers(0, POLL_MINUTES, self.size)
        self.download = self.rng.integers(1, 10, self.size)
        lot = self.rng.random(self.size)
        self.fails = lot < self.release.fails_trial
        self.dies = lot > 1.0 - self.release.silences
        self.level = np.log(20.0) + self.rng.normal(0.0, 0.20, self.size)
        self.shift = self.rng.normal(0.0, 0.03, self.size)
        self.weather = self.rng.normal(0.0, _WEATHER, (2, self.size))

    def polling(self, minute: int) -> Mask:
        """Return who polls in this minute; a dead device does not."""
        alive = ~(self.dies & (self.activated <= minute))
        mask: Mask = (self.phase == minute % POLL_MINUTES) & alive
        return mask

    def offer(self, who: Mask, minute: int) -> None:
        """Offer the release to devices that were not offered it yet."""
        fresh = who & (self.offered == NEVER)
        self.offered[fresh] = minute
        self.activated[fresh] = minute + self.download[fresh]
        self.ended[fresh] = self.activated[fresh] + PROBATION_MINUTES
        reverts = fresh & self.fails
        self.back[reverts] = self.ended[reverts]

    def go_back(self, who: Mask, minute: int) -> None:
        """Bring devices back to what they ran before, whether they had activated or not."""
        on_it = who & (self.offered != NEVER) & (self.back > minute)
        self.back[on_it] = minute
        self.activated[on_it & (self.activated > minute)] = NEVER

    def exposed(self) -> int:
        """Return how many devices ever ran the release, trials included."""
        return int((self.activated != NEVER).sum())

    def device_hours(self, until: int) -> float:
        """Return how long devices ran it or were dead of it, all together, hours."""
        end = np.minimum(self.back, until)
        end[self.dies] = until
        spent = np.clip(end - np.minimum(self.activated, until), 0, None)
        return float(spent.sum()) / 60.0

    def still_on(self, minute: int) -> int:
        """Return how many devices run it now; the dead are not among them."""
        return int(((self.activated <= minute) & (self.back > minute) & ~self.dies).sum())

    def mean_log(self, windows: Floats, *, on_new: Mask) -> Floats:
        """Return each device's mean ln(latency in ms) over so many minutes."""
        noise = self.weather[1] / np.sqrt(np.maximum(windows, 1.0))
        slower = math.log1p(self.release.slowdown) * on_new
        values: Floats = self.level + self.shift + slower + noise
        return values

    def mean_log_before(self) -> Floats:
        """Return the same over the hour before."""
        values: Floats = self.level + self.weather[0] / math.sqrt(60.0)
        return values
