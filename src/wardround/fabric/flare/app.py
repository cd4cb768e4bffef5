"""The classes that run inside FLARE's processes: one at each site, one at the server. The only importer of Collab.

The plan's work is named by import string, because a fabric may not know the study above it. Only the operator of a
party decides which classes run there: FLARE checks the class paths of a job against the kit's ``class_allow_list``.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from nvflare.collab import CollabCallError, collab

from wardround.core.files import write_atomically
from wardround.errors import PlanError, WardroundError
from wardround.fabric.base import Handler
from wardround.fabric.flare.fabric import FlareFabric
from wardround.fabric.flare.job import DATA, OUTCOME, RUNS, STORE, read_job
from wardround.fabric.flare.site import SiteEnd

_LOG = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])
_at_start = cast(Callable[[_F], _F], collab.init)
_published = cast(Callable[[_F], _F], collab.publish)
_as_main = cast(Callable[[_F], _F], collab.main)


class SiteApp:
    """A site inside FLARE's job process; its handler lives as long as the job."""

    open_site: ClassVar[str] = "wardround.study.build:open_site"
    """``(plan_json, site, data_root, store_root) -> Handler``; it refuses a plan that the operator did not approve"""

    @_at_start
    def start(self) -> None:
        """Note where the job lies. The site opens at its first call: a failure here would end everybody's job."""
        self._end = SiteEnd(collab.site_name, partial(self._open, collab.site_name, _config_folder()))

    @_published
    def handle(self, op: str, body: bytes) -> bytes:
        """Answer one call of `wardround.fabric.flare.wire`."""
        return self._end.handle(op, body)

    def _open(self, site: str, config: Path) -> Handler:
        job = read_job(config)
        store = _folder(STORE, site) / f"{job.run}.sites"
        opened = _entry(self.open_site)(job.plan_json, site, os.environ.get(DATA), str(store))
        return cast(Handler, opened)


class CoordinatorApp:
    """The coordinator inside FLARE's server job process."""

    run_on_fabric: ClassVar[str] = "wardround.study.run:run_on_fabric"
    """``(plan_json, fabric, run_folder, resume) -> None``"""

    @_as_main
    def main(self) -> None:
        """Run the whole training, and tell the launcher (if there is one) how it ended."""
        fabric = None
        _tell_outcome(ended=False)
        try:
            job = read_job(_config_folder())
            proxies = {proxy.name: proxy for proxy in collab.clients}
            fabric = FlareFabric(proxies, CollabCallError, collab.context.is_aborted, job.mended)
            folder = _folder(RUNS, "the server") / job.run
            _entry(self.run_on_fabric)(job.plan_json, fabric, str(folder), job.resume)
        except Exception as error:
            _LOG.exception("the run ended early")
            _tell_outcome(True, type(error).__name__, _sentence_of(error))
            raise
        finally:
            if fabric is not None:
                fabric.close()
        _tell_outcome(ended=True)


def _config_folder() -> Path:
    job_id = collab.fl_ctx.get_job_id()
    return Path(collab.context.workspace.get_app_config_dir(job_id)).absolute()


def _folder(variable: str, party: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        raise PlanError(f"{variable} is not set at {party}; its operator names a folder of its own there")
    return Path(value).absolute()


def _entry(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(module), name))


def _sentence_of(error: Exception) -> str:
    return str(error) if isinstance(error, WardroundError) else f"{type(error).__name__}: {error}"


def _tell_outcome(ended: bool, kind: str = "", sentence: str = "") -> None:
    path = os.environ.get(OUTCOME)
    if path is None:
        return
    told = json.dumps({"ended": ended, "kind": kind, "sentence": sentence})
    write_atomically(Path(path), told.encode(), sync=False)
