"""Who may say what runs on a device: TUF metadata, signed by people, checked by devices.

Four sides, one submodule each, so that nobody imports more than it needs:

    keystore, signing   the engineer or the CI: keys under a passphrase, root and targets metadata
    online              the server: snapshot and timestamp, and a folder that devices read
    verifying           the device: refresh, look a target up, refuse everything else
    process             the agent's main process: asks `python -m edgekit.trust`, imports no tuf

This package itself stays cheap: it imports neither tuf nor cryptography. See
docs/decisions/0003-trust-is-tuf.md.
"""

from edgekit.trust.policy import bundle_path
from edgekit.trust.reasons import Reason, UntrustedError
from edgekit.trust.targets import TargetInfo, verify_file

__all__ = ["Reason", "TargetInfo", "UntrustedError", "bundle_path", "verify_file"]
