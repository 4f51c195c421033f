"""What end-to-end tests import from here; it stands in tests/cloud.py, the fixtures in tests/conftest.py."""

from tests.cloud import LocalCloud, alive, end_cloud, eventually, start_cloud

__all__ = ["LocalCloud", "alive", "end_cloud", "eventually", "start_cloud"]
