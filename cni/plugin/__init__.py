"""The hot path: what runs at each CNI call. May import only builtins, cni.errors, cni.spec_versions, cni.syntax."""
