"""The hot path: what runs at each CNI call. It imports built-in modules, the leaves (cni.errors, …) and itself only."""
