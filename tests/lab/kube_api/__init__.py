"""A small Kubernetes API server for the lab and for tests: in memory, JSON only, and everybody may do everything.

It serves what Calico, SpiderPool and kubectl-like clients ask for: discovery, list, watch, get, create, update, patch,
delete, the status subresource, and the resources of CustomResourceDefinitions with their schemas' defaults. It does
not serve protobuf or tables, does not validate or prune by schemas, converts nothing between versions, and calls no
webhooks. Like a cluster's controller manager it deletes objects whose owners are gone.
"""
