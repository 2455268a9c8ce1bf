"""Configuration: files, variables and options into one typed `Config`, refused whole if any of it is wrong."""

from mantlet.node.config.load import Loaded, default_files, load
from mantlet.node.config.model import Config
from mantlet.node.config.problem import ConfigErrors, Problem

__all__ = ["Config", "ConfigErrors", "Loaded", "Problem", "default_files", "load"]
