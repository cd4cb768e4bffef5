"""The no-op job on Flower's simulation: a ServerApp that talks to four SuperNodes, through Ray on loopback."""

from __future__ import annotations

import time

import noop
import numpy as np
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

RAY = {"_node_ip_address": "127.0.0.1", "include_dashboard": False, "log_to_driver": False}

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """Answer at a site."""
    array = message.content["array"].to_numpy_ndarrays()[0]
    return Message(RecordDict({"array": ArrayRecord([noop.work(array)])}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Coordinate, once the SuperNodes are there."""
    while len(nodes := list(grid.get_node_ids())) < len(noop.SITES):
        time.sleep(0.01)

    def ask_all(array: np.ndarray) -> list[np.ndarray]:
        content = RecordDict({"array": ArrayRecord([array])})
        asked = [Message(content, dst_node_id=node, message_type="train") for node in nodes]
        return [reply.content["array"].to_numpy_ndarrays()[0] for reply in grid.send_and_receive(asked)]

    noop.coordinate(ask_all)


if __name__ == "__main__":
    resources = {"num_cpus": 1, "num_gpus": 0.0}
    run_simulation(server, client, len(noop.SITES), backend_config={"init_args": RAY, "client_resources": resources})
