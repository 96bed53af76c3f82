"""What all tests share: hypothesis without deadlines, its long campaign, and skips for tools that this machine lacks."""

from __future__ import annotations

import shutil

import hypothesis
import pytest

# A slow machine is no bug, and no test may depend on time.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=5000)  # --hypothesis-profile=long --timeout=0
hypothesis.settings.load_profile("default")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        missing = [command for command in marker.args if shutil.which(command) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
