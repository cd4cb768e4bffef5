"""The classes that FLARE's processes load for the no-op job."""

from __future__ import annotations

from wardround.fabric.flare.app import CoordinatorApp, SiteApp


class NoopSiteApp(SiteApp):
    """Opens a site that does nothing."""

    open_site = "wardround_noop:open_noop"


class NoopCoordinatorApp(CoordinatorApp):
    """Runs the no-op job."""

    run_on_fabric = "wardround_noop:run_on_flare"
