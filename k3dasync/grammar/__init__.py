"""The small languages of flags and config files: one module, one parser each. Pure."""
