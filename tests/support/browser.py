"""A person at Airflow's pages, in a real headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from evergreen_airflow.embedded.settings import Settings

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: What a page may take to show something while other tests use the machine; 5 s by default.
expect.set_options(timeout=60_000)


def chromium() -> str:
    """Return where the browser is; without one the test is skipped, but never in CI."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        message = "no Chromium on this machine; on Debian: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return found


@contextmanager
def logged_in(settings: Settings, *, password: str) -> Iterator[Page]:
    """Yield a page on which admin has logged in to Airflow."""
    with sync_playwright() as driver:
        # As root, as in a container, Chromium cannot make its sandbox; only our own pages are read.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=chromium(), args=options)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        try:
            page.goto(settings.airflow_url)
            page.fill("input[name=username]", "admin")
            page.fill("input[name=password]", password)
            page.click("button[type=submit]")
            page.wait_for_url(lambda url: "/auth/login" not in url)
            yield page
        finally:
            browser.close()
