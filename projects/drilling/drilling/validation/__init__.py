"""Whether a hole was drilled and recorded as it should be: checks of one log and of many."""

from drilling.validation.batch import BatchReport, validate_batch
from drilling.validation.file_report import FileReport, validate_log
from drilling.validation.finding import Finding, Severity
from drilling.validation.report import render

__all__ = [
    "BatchReport",
    "FileReport",
    "Finding",
    "Severity",
    "render",
    "validate_batch",
    "validate_log",
]
