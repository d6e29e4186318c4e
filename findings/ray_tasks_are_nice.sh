#!/usr/bin/env bash
# Ray: tasks run at niceness 15, so that anything else on the machine comes before them.
#
# Seen with:  ray 2.60.0, Python 3.12, Linux.
# Expected:   a task on a CPU that Ray has reserved for it runs at the niceness of the driver, 0.
# Happens:    it runs at 15: reserved CPUs are its own among Ray's tasks alone. Beside one busy process on two cores a task that
#             uses both takes about twice the time. RAY_worker_niceness=0, set before Ray starts, changes it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ray==2.60.0
cat >"$folder/check.py" <<'PYTHON'
import logging
import os

import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
niceness = ray.get(ray.remote(lambda: os.getpriority(os.PRIO_PROCESS, 0)).remote())
print(f"driver: {os.getpriority(os.PRIO_PROCESS, 0)}, task: {niceness}")
own = os.getpriority(os.PRIO_PROCESS, 0)
assert niceness == min(own + int(os.environ.get("EXPECTED", "15")), 19), "it changed"  # 19 is the most
PYTHON
cd "$folder"
"$folder/venv/bin/python" "$folder/check.py" 2>/dev/null
RAY_worker_niceness=0 EXPECTED=0 "$folder/venv/bin/python" "$folder/check.py" 2>/dev/null
# Output:
#   driver: 0, task: 15
#   driver: 0, task: 0
