"""The contracts as pydantic types: every shape that goes over a wire, into a file or out as `--json`.

`make spec` (cni/contracts/__main__.py) publishes them under spec/ and as cni/plugin/_validators.py. The plugin never
imports them, because importing pydantic takes 60 ms, three times as long as a whole ADD.
"""
