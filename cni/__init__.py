"""spiderpool-ipam: the CNI IPAM plugin for Calico with SpiderPool, and its operator program."""
