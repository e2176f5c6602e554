"""Examining a whole store in one go, and mending what is derived; see `examination.examine`."""

from eventstore.doctor.examination import examine
from eventstore.doctor.report import Diagnosis, Report, Severity

__all__ = ["Diagnosis", "Report", "Severity", "examine"]
