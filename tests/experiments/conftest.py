"""What tests of reports share."""

import pytest

from experiments.report import figures


@pytest.fixture
def undrawn(monkeypatch):
    """Plots are made, and not drawn, which takes most of the time of a report: for tests of its words."""
    monkeypatch.setattr(figures, "rendered", lambda figure: {"svg": b"<svg/>", "png": b""})
