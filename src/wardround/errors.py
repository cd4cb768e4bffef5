"""Every error this package raises on purpose.

```text
WardroundError                exit code
├── InputError                2   what the user gave cannot be used
│   ├── PlanError             2   a plan that is misspelt, incomplete or refused
│   ├── DataError             2   images, labels or a manifest that cannot be used
│   ├── TrustError            2   a peer, a key or a plan that this site does not trust
│   ├── LedgerError           2   a ledger, a checkpoint or a proof that does not hold
│   └── RunFolderError        2   a run folder that is missing, taken or damaged
├── WireError                 –   bytes from another party that are not a legal message
├── SiteError                 –   one site could not answer; the others go on
└── RunError                  1   the run itself cannot go on
    ├── QuorumLost            1   fewer sites answered than the plan asks for
    └── FabricDown            1   the processes or connections that carry the run are gone
```

A message is one sentence that names the thing and the way out. The command line prints it without a traceback.
"""


class WardroundError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class InputError(WardroundError):
    """What the user gave cannot be used."""

    exit_code = 2


class PlanError(InputError):
    """A plan that is misspelt, incomplete or refused.

    Attributes:
        rule: identifier of the rule that refuses the plan (`wardround.checker`); empty where none was needed.
    """

    def __init__(self, message: str, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class DataError(InputError):
    """Images, labels or a manifest that cannot be used."""


class TrustError(InputError):
    """A peer, a key or a plan that this site does not trust."""


class LedgerError(InputError):
    """A ledger, a checkpoint or a proof that does not hold."""


class PrivacyError(InputError):
    """A noise that no accountant knows, or a privacy budget that is spent."""


class RunFolderError(InputError):
    """A run folder that is missing, already taken or damaged."""


class WireError(WardroundError):
    """Bytes from another party that are not a legal message."""


class SiteError(WardroundError):
    """One site could not answer; the others go on."""


class RunError(WardroundError):
    """The run itself cannot go on."""


class QuorumLost(RunError):
    """Fewer sites answered than the plan asks for."""


class FabricDown(RunError):
    """The processes or connections that carry the run are gone."""
