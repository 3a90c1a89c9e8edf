"""The embedded agent: the spiderpool-agent's API for nodes without Kubernetes."""
