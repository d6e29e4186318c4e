#!/usr/bin/env bash
# DuckDB (Python): a function of the script that made the connection keeps it open beyond the end of the script.
#
# Seen with:  duckdb 2.0.0, numpy 2.5.5, Python 3.12.
# Expected:   as without create_function: the connection is closed when the script ends, silently, and the database is one file.
# Happens:    the function's module refers to the connection, the connection to the function, and no collector sees the
#             circle. At the end "nanobind: leaked 28 instances!" and more are printed, and the database is left with its
#             .wal, not checkpointed. con.close() is the remedy; so is a function from a module that has no connection.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q duckdb==2.0.0 numpy==2.5.5
cat >"$folder/script.py" <<'PYTHON'
import sys
import duckdb

con = duckdb.connect(sys.argv[1])


def plus_one(x):
    return x + 1


if "function" in sys.argv:
    con.create_function("plus_one", plus_one, ["INTEGER"], "INTEGER")
con.execute("create table t as select 1 as x")
if "close" in sys.argv:
    con.close()
PYTHON
cd "$folder"
ends() {
  rm -rf it && mkdir it
  venv/bin/python script.py it/it.duckdb "$@" 2>said
  echo "$(ls it | tr '\n' ' ')$(grep -o 'nanobind: leaked .* instances' said || true)"
}
plain=$(ends) with_function=$(ends function) closed=$(ends function close)
printf 'plain:                   %s\nwith a function:         %s\nwith a function, closed: %s\n' \
  "$plain" "$with_function" "$closed"
[[ "$plain" == "it.duckdb " && "$closed" == "it.duckdb " ]] || { echo "it changed"; exit 1; }
[[ "$with_function" == "it.duckdb it.duckdb.wal nanobind: leaked"* ]] || { echo "it changed"; exit 1; }
# Output:
#   plain:                   it.duckdb
#   with a function:         it.duckdb it.duckdb.wal nanobind: leaked 28 instances
#   with a function, closed: it.duckdb
