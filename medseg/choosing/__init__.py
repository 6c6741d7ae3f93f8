"""Which of several trained configurations to use, and what to do to its labels."""

from medseg.choosing.choice import Choice, choose
from medseg.choosing.configurations import Configuration
from medseg.choosing.polishing import Polished, Tried

__all__ = ["Choice", "Configuration", "Polished", "Tried", "choose"]
