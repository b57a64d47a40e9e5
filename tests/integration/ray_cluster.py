"""A run on a cluster of two nodes in a process of its own: python ray_cluster.py CONFIG.

As soon as the configuration's folder holds a file ``here``, the node that this names is killed. Prints one
JSON object: what the run counted, whether the run let go of the cluster, and whether that works afterwards.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

# Told before Ray is imported: tests open no port to other machines, and tell nobody.
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


def main(config: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    from tenire.app.config import load_config
    from tenire.app.runs import run_config

    # The head, which nobody survives, computes nothing: it is one of the two others that is killed.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    text = config.read_text(encoding="utf-8").replace("ADDRESS", cluster.address)
    config.write_text(text, encoding="utf-8")
    over, here = threading.Event(), config.parent / "here"

    def execution() -> None:
        while not over.wait(0.02):
            named = here.read_text(encoding="ascii") if here.exists() else ""
            for node in nodes:
                if node.node_id == named:
                    cluster.remove_node(node, allow_graceful=False)
                    return

    executioner = threading.Thread(target=execution)
    executioner.start()
    try:
        report = run_config(load_config(config))
    finally:
        over.set()
        executioner.join()
    left = not ray.is_initialized()
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    works = ray.get(ray.remote(lambda: True).remote(), timeout=60)
    ray.shutdown()
    cluster.shutdown()
    sys.stdout.write(json.dumps({"report": report.as_json(), "works": works, "left": left}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
