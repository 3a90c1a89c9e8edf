"""The project's contracts as pydantic types: the one source of truth for what is read and written.

`make spec` (cni/contracts/__main__.py) publishes them under spec/ and as cni/plugin/_validators.py.
Never imported by the plugin: pydantic alone takes 60 ms, three times a whole ADD.
"""
