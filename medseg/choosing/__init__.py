"""Which of several trained configurations to use, and what to do to its labels."""

from medseg.choosing.choice import Choice, choose
from medseg.choosing.polishing import Polished, Tried
from medseg.learning.configurations import Configuration

__all__ = ["Choice", "Configuration", "Polished", "Tried", "choose"]
