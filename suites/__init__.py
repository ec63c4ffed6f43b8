"""The suites that ship with retable: one YAML file a paper."""
