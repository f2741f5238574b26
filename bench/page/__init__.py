"""One self-contained HTML page of one run or several: a pure function of what their folders hold."""

from .page import write_page
from .study import Study, labels

__all__ = ["Study", "labels", "write_page"]
