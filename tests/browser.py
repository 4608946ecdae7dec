"""A browser for tests that look at pages: Chromium of the system, or the one that playwright has installed."""

import shutil

import pytest
from chromium import HOW, NAMES


def start_browser(playwright):
    """Start Chromium, or skip the test where there is none."""
    from playwright.sync_api import Error

    installed = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        return playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
    except Error:
        pytest.skip(f"no Chromium here: {HOW}")
