from tests.doctor.conftest import api, certificates, kubeconfig, node

__all__ = ["api", "certificates", "kubeconfig", "node"]
