"""Finds what is wrong between a pod's annotation and the router, and how to mend it.

`collect/` reads files, sockets and the API into one document of facts; the checks (`checks/`) look at that document and
at nothing else; `run` makes the report.
"""
