"""Reading and writing the logs of Setitec advanced drilling units, one file per hole."""

from drilling.setitec.folder import LogBatch, LogFailure, read_logs
from drilling.setitec.log import Problem, SetitecLog, read_log

__all__ = ["LogBatch", "LogFailure", "Problem", "SetitecLog", "read_log", "read_logs"]
