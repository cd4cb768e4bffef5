"""The text of ``trust.toml``: written anew, or with one entry more and every comment kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping


def new_text(site: str, plans: Iterable[str], peers: Mapping[str, str], budget: Iterable[str] = ()) -> str:
    """Write a whole file."""
    lines = [
        "# Whom and what this site trusts. No coordinator can change it: its operator does, here or with",
        "# wardround site approve and wardround site trust.",
        f"site = {_quoted(site)}",
        "",
        "# Digests of the plans that the operator has read and approved.",
        "plans = [",
        *(f'    "{digest}",' for digest in plans),
        "]",
        "",
        *budget,
        "# Fingerprints of the other sites, as their operators read them out by phone or in person.",
        "[peers]",
        *(_entry(name, fingerprint) for name, fingerprint in peers.items()),
    ]
    return "\n".join(lines) + "\n"


def with_plan(text: str, digest: str) -> tuple[str, ...]:
    """Return edits of `text` that may add a plan in front of the others; the caller reads which one did."""
    opened = re.sub(r"(?m)^plans\s*=\s*\[", lambda match: f'{match[0]}\n    "{digest}",', text, count=1)
    return opened, f'plans = ["{digest}"]\n{text}'


def with_peer(text: str, name: str, fingerprint: str) -> tuple[str, ...]:
    """Return edits of `text` that may enter or change a peer; the caller reads which one did."""
    entry = _entry(name, fingerprint)
    own_line = rf"(?m)^(?:{re.escape(name)}|{re.escape(_quoted(name))})[ \t]*=[ \t]*[\"'][^\"']*[\"']"
    changed = re.sub(own_line, lambda _: entry, text, count=1)
    added = re.sub(r"(?m)^\[peers\][^\n]*\n?", lambda match: f"{match[0].rstrip()}\n{entry}\n", text, count=1)
    return changed, added, f"{text.rstrip()}\n\n[peers]\n{entry}\n"


def _entry(name: str, fingerprint: str) -> str:
    key = name if re.fullmatch("[A-Za-z0-9_-]+", name) else _quoted(name)
    return f'{key} = "{fingerprint}"'


def _quoted(text: str) -> str:
    # Printable text in JSON's quotes is a basic string of TOML.
    return json.dumps(text, ensure_ascii=False)
