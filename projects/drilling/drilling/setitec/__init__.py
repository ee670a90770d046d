"""Reading and writing the logs of Setitec advanced drilling units, one file per hole."""

from drilling.setitec.folder import LogBatch, LogFailure, LogStream, ReadingSummary, read_logs
from drilling.setitec.log import Problem, SetitecLog, read_log
from drilling.setitec.table import read_tables, to_arrow, write_parquet, write_tables

__all__ = [
    "LogBatch",
    "LogFailure",
    "LogStream",
    "Problem",
    "ReadingSummary",
    "SetitecLog",
    "read_log",
    "read_logs",
    "read_tables",
    "to_arrow",
    "write_parquet",
    "write_tables",
]
