"""Attacks that measure what a protection is worth. Each sees what an adversary would see, and nothing else."""
