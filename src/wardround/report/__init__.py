"""A run folder as one page for people; made from the folder alone, so it can be remade without training."""

from wardround.report.page import write_report

__all__ = ["write_report"]
