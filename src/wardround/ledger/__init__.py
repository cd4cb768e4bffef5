"""An append-only log of a run, whose checkpoints the sites sign together."""
