"""An engineer, a server's metadata folder and a device, at a time that a test can move."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from edgekit.trust import bundle_path
from edgekit.trust.cache import TrustCache
from edgekit.trust.client import Fetch
from edgekit.trust.keystore import KeyStore
from edgekit.trust.metadata import digest
from edgekit.trust.online import OnlineKeys
from edgekit.trust.signing import TargetEntry, extend_model_targets, make_root, make_targets
from edgekit.trust.verifying import Clock, TargetInfo, TrustStore
from tests.metadata_folder import repository_in

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
VARIANT = "onnx-int8"


class Scene:
    """An engineer, a server and a device, at a time that a test can move."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.keystore = KeyStore.create(folder / "engineer", "correct horse")
        self.metadata = folder / "server"
        self.use_keys(OnlineKeys.generate())
        for model in ("digits", "faces"):
            self.keystore.add_model(model)
        self.root = make_root(self.keystore, self.keys.public(), now=NOW)
        self.repository.publish(
            {
                "root": self.root,
                "targets": make_targets(self.keystore, self.keystore.models(), now=NOW),
            },
            now=NOW,
        )
        self.device = TrustStore(folder / "device")
        self.device.pin(self.root, sha256=digest(self.root))

    def use_keys(self, keys: OnlineKeys) -> None:
        """Let the server have these keys from now on."""
        self.keys = keys
        self.repository = repository_in(self.metadata, keys)

    def bundle(self, version: str, *, model: str = "digits") -> Path:
        path = self.folder / f"{model}-{version}.bundle"
        path.write_bytes(f"bundle of {model} {version}".encode() * 100)
        return path

    def release(self, version: str, *, model: str = "digits") -> None:
        entry = TargetEntry.of_file(
            self.bundle(version, model=model), model=model, version=version, variant=VARIANT
        )
        before = self.repository.current(model)
        data = extend_model_targets(self.keystore, model, before, [entry], now=self.now)
        self.repository.publish({model: data}, now=self.now)

    def new_root(self) -> bytes:
        previous = self.repository.current("root")
        root = make_root(self.keystore, self.keys.public(), now=self.now, previous=previous)
        self.repository.publish({"root": root}, now=self.now)
        return root

    def clock(self, *, synchronised: bool = True) -> Clock:
        return Clock(now=self.now, synchronised=synchronised)

    def ask(self, fetch: Fetch, version: str, *, model: str = "digits") -> TargetInfo:
        return self.device.target(
            bundle_path(model=model, version=version, variant=VARIANT),
            model=model,
            version=version,
            variant=VARIANT,
            fetch=fetch,
            clock=self.clock(),
        )

    def index_files(self) -> list[Path]:
        cache = TrustCache(self.folder / "device")
        index = cache.load()
        return [cache.folder / index.generation / name for name in index.files]
