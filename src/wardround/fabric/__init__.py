"""Bytes between the coordinator and the sites: in this process, in worker processes, or over NVIDIA FLARE."""
