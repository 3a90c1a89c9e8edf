"""The operator program `spiderpool-ipam`: a table of commands, one module each, imported when it is called."""
