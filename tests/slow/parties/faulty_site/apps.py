"""The classes that a job names."""

from __future__ import annotations

from wardround.fabric.flare.app import CoordinatorApp, SiteApp


class FaultySiteApp(SiteApp):
    open_site = "faulty_site.work:open_site"


class ScriptApp(CoordinatorApp):
    run_on_fabric = "faulty_site.work:run_on_fabric"
