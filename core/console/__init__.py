"""The terminal: a live view, plain lines, and the summaries that commands print."""

from core.console.facts import comparison_json, status_json
from core.console.opening import open_console
from core.console.summary import print_comparison, print_status, print_summary

__all__ = ["comparison_json", "open_console", "print_comparison", "print_status", "print_summary", "status_json"]
