"""A site's home folder: its identity, and what it trusts.

```text
~/.wardround/            or WARDROUND_HOME
├── identity.pub         the public keys
├── trust.toml           whom and what the site trusts
├── spending.json        noise that was added to its data, over all runs: what epsilon is computed from
├── keys/                a vault: the private keys, under the passphrase
└── plans/<digest>/      a vault for each plan that was run: its keys, and what the site signed
```
"""

from __future__ import annotations

import os
import reprlib
from dataclasses import dataclass
from pathlib import Path

from wardround.core.names import is_site_name
from wardround.errors import TrustError, WireError
from wardround.protect.identity import PUBLIC_BYTES, Identity, PublicIdentity
from wardround.protect.private_files import read_own, write_private
from wardround.protect.trust import Trust
from wardround.protect.vault import Vault, check_passphrase

HOME = "WARDROUND_HOME"
IDENTITY = "identity"


@dataclass(frozen=True)
class Home:
    """The folder in which a site keeps its keys and its trust, apart from any run.

    Attributes:
        folder: of one site.
    """

    folder: Path

    @classmethod
    def of(cls, folder: Path | None) -> Home:
        """Return `folder` as a home; ``None`` stands for WARDROUND_HOME, and without it for ``~/.wardround``."""
        return cls(folder or Path(os.environ.get(HOME) or Path.home() / ".wardround"))

    @property
    def trust_path(self) -> Path:
        """Where ``trust.toml`` lies."""
        return self.folder / "trust.toml"

    @property
    def public_path(self) -> Path:
        """Where the public identity lies."""
        return self.folder / "identity.pub"

    @property
    def spending_path(self) -> Path:
        """Where the site keeps what it spent of its privacy budget."""
        return self.folder / "spending.json"

    def vault(self, passphrase: bytes) -> Vault:
        """Return the vault that holds the private keys."""
        return Vault(self.folder / "keys", passphrase)

    def plan_vault(self, plan_digest: str, passphrase: bytes) -> Vault:
        """Return the vault for all runs of one plan: what a site did in one of them binds it in the next."""
        return Vault(self.folder / "plans" / plan_digest, passphrase)

    def check_new(self, site: str) -> None:
        """Refuse to make keys where there are some, or for a name that no site can have.

        Raises:
            TrustError: the folder holds keys or another site's trust, or the name is none.
        """
        if not is_site_name(site):
            raise TrustError(f"{reprlib.repr(site)} is no site name: it has 1 to 128 printable characters")
        for path in (self.public_path, self.folder / "keys"):
            if path.exists():
                raise TrustError(f"{path} exists, and keys are never overwritten: choose another --home or move it")
        if self.trust_path.exists() and self.trust().site != site:
            raise TrustError(f"{self.trust_path} is the one of {self.trust().site}, not {site}: choose another --home")

    def begin(self, site: str, passphrase: bytes) -> PublicIdentity:
        """Make a site's identity and an empty ``trust.toml``.

        Raises:
            TrustError: see `check_new`; or the folder cannot be written, or the passphrase is too short.
        """
        self.check_new(site)
        check_passphrase(passphrase)
        identity = Identity.new()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.vault(passphrase).write(IDENTITY, identity.to_bytes())
            if not self.trust_path.exists():
                Trust(site).write(self.trust_path)
            write_private(self.public_path, identity.public.to_bytes())
        except OSError as error:
            raise TrustError(f"{self.folder} cannot be written ({error.strerror}): choose another --home") from None
        return identity.public

    def public(self) -> PublicIdentity:
        """Return the site's public identity; needs no passphrase.

        Raises:
            TrustError: there is none, or it is damaged.
        """
        if not self.public_path.exists():
            raise TrustError(f"{self.folder} holds no keys: wardround keys new makes them")
        try:
            return PublicIdentity.from_bytes(read_own(self.public_path, PUBLIC_BYTES))
        except WireError:
            raise TrustError(f"{self.public_path} is damaged: put back the copy that you keep of it") from None

    def identity(self, passphrase: bytes) -> Identity:
        """Return the site's identity.

        Raises:
            TrustError: there is none, it is damaged, it is not that of ``identity.pub``, or the passphrase is wrong.
        """
        public = self.public()
        try:
            identity = Identity.from_bytes(self.vault(passphrase).read(IDENTITY))
        except WireError:
            raise TrustError(f"{self.folder / 'keys'} holds no identity of this version: make new keys") from None
        if identity.public != public:
            raise TrustError(
                f"{self.public_path} shows fingerprint {public.fingerprint}, but the private keys have "
                f"{identity.public.fingerprint}: somebody exchanged one of the two; put back your copy"
            )
        return identity

    def trust(self) -> Trust:
        """Return what the site trusts.

        Raises:
            TrustError: see `Trust.load`.
        """
        return Trust.load(self.trust_path)
