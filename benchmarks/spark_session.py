"""Ask a dataset's views in Spark or Sail, in an interpreter that has one of them: `spark.py` beside it starts this.

    python spark_session.py QUESTION

The question is JSON: engine (sail, or Spark's master), data (folders), views, paths (where jacdb and what it needs
are), and out, the file to write: for each folder seconds to register, and of each view seconds and rows, or an error.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def session(engine: str) -> tuple[Any, Any]:
    """Return a session of Spark, or of Sail; and the server, which lives as long as something has it."""
    from pyspark.sql import SparkSession

    if engine == "sail":
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer()
        server.start()
        return SparkSession.builder.remote("sc://{}:{}".format(*server.listening_address)).getOrCreate(), server
    builder = SparkSession.builder.master(engine).config("spark.driver.host", "127.0.0.1")
    settings = {"ui.enabled": False, "ui.showConsoleProgress": False, "sql.shuffle.partitions": 2, "log.level": "ERROR"}
    for name, value in settings.items():
        builder = builder.config(f"spark.{name}", str(value).lower())
    return builder.getOrCreate(), None


def main() -> None:
    question = json.loads(sys.argv[1])
    spark, _server = session(question["engine"])
    sys.path += question["paths"]  # last: the engine's own packages come first
    from jacdb.spark import register

    answers: dict[str, Any] = {}
    for data in question["data"]:
        start = time.perf_counter()
        register(spark, data)
        answers[data] = {"register": time.perf_counter() - start, "views": {}}
        for view in question["views"]:
            start = time.perf_counter()
            try:
                rows = [list(row) for row in spark.sql(f"select * from {view}").collect()]
            except Exception as error:  # what the engine cannot is an answer
                answers[data]["views"][view] = {"error": f"{type(error).__name__}: {error}"[:500]}
                continue
            answers[data]["views"][view] = {"seconds": time.perf_counter() - start, "rows": rows}
    Path(question["out"]).write_text(json.dumps({"version": spark.version, "answers": answers}))
    spark.stop()


if __name__ == "__main__":
    main()
