"""The hot path: what runs at each CNI call. May import only builtins, cni.errors, cni.cni_versions, cni.syntax."""
