#!/usr/bin/env bash
# Sail: an array's element can't be taken by a column or an expression in brackets, only by a literal.
#
# Seen with:  pysail 0.7.2, pyspark-client 4.2.0, Python 3.12, CPU.
# Expected:   `words[place]` is the element at a place that differs from row to row, as in Spark SQL (and DuckDB, BigQuery).
# Happens:    the column's name is taken for a text, "Cannot cast string 'place' to value of Int64 type"; an expression,
#             `words[0 + 1]`, is refused: "extraction must be a literal". `words[0]` works, and so does `get(words, place)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pysail==0.7.2 pyspark-client==4.2.0
cat >"$folder/check.py" <<'PYTHON'
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

server = SparkConnectServer()
server.start()
spark = SparkSession.builder.remote("sc://{}:{}".format(*server.listening_address)).getOrCreate()
spark.sql("create temporary view t as select * from values (array(5, 6, 7), 0), (array(5, 6, 7), 2) as t(words, place)")


def answer(expression):
    try:
        return [row[0] for row in spark.sql(f"select {expression} from t order by place").collect()]
    except Exception as error:
        return str(error)


said = {text: answer(text) for text in ("words[0]", "get(words, place)", "words[place]", "words[0 + 1]")}
for text, value in said.items():
    print(f"{text}: {value}")
assert said["words[0]"] == [5, 5] and said["get(words, place)"] == [5, 7], said
assert "Cannot cast string 'place'" in str(said["words[place]"]), f"it changed: {said}"
assert "extraction must be a literal" in str(said["words[0 + 1]"]), f"it changed: {said}"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" 2>/dev/null
# Output:
#   words[0]: [5, 5]
#   get(words, place): [5, 7]
#   words[place]: Cast error: Cannot cast string 'place' to value of Int64 type
#   words[0 + 1]: invalid argument: extraction must be a literal
