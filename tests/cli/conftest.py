from tests.doctor.conftest import api, certificates, node

__all__ = ["api", "certificates", "node"]
