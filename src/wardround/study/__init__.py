"""From a plan's text to a run folder."""
