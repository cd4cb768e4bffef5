"""A run folder as one page for people; made from the folder alone, so it can be remade without training."""

from wardround.report.leave_out import write_leave_out
from wardround.report.page import write_report

__all__ = ["write_leave_out", "write_report"]
