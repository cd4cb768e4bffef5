"""The no-op job on NVFLARE's simulator, through its Collab API: a call to every site in parallel, in each round."""

from __future__ import annotations

import tempfile

import noop
import numpy as np
from nvflare.collab import CollabRecipe, collab
from nvflare.recipe import SimEnv


class NoopSite:
    """A site that does nothing."""

    @collab.publish
    def echo(self, array: np.ndarray) -> np.ndarray:
        """Answer."""
        return noop.work(array)


class NoopServer:
    """Coordinates."""

    @collab.main
    def main(self) -> None:
        """Run the job."""
        noop.coordinate(lambda array: [answer for _, answer in collab.clients.echo(array)])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        recipe = CollabRecipe("noop", server=NoopServer(), client=NoopSite())
        recipe.execute(SimEnv(clients=list(noop.SITES), num_threads=len(noop.SITES), workspace_root=scratch))
