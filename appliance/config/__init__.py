"""The configuration: one YAML file to one frozen `Config`, read once, here and nowhere else.

schema  what can be written, with the meaning and the default of every key
load    text to `Config`; every mistake names file, line, key, and what was expected
sample  the commented file that `sallyport configure` prints, and the reference in docs/, from the schema
"""

from appliance.config.load import ConfigError, load, parse
from appliance.config.schema import Config

__all__ = ["Config", "ConfigError", "load", "parse"]
