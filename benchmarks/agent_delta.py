"""How many bytes does an update cost by delta, beside zstd -19 of the whole bundle?

Pairs of 17 MB float32 and 4.3 MB int8 models (weights drawn from a normal distribution) in which
all weights moved, only the head moved, or ten classes were added; as bundles, applied and compared.
"""

from __future__ import annotations
