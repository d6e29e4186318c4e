#!/usr/bin/env bash
# DuckDB (Python): get_table_names refuses valid SELECTs, a join by USING and a view of read_parquet([...]) among them.
#
# Seen with:  duckdb 2.0.0, Python 3.12.
# Expected:   it returns the names of the tables that a valid SELECT reads, whatever is in the SELECT.
# Happens:    `from t join u using (a)` runs, but get_table_names says "Column "a" does not exist on left side of join!".
#             A SELECT from a view over read_parquet([file]) runs, but get_table_names says that read_parquet "cannot take
#             NULL list as parameter"; of a view over read_parquet(file) it answers. EXPLAIN (FORMAT json) names all tables.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q duckdb==2.0.0
cat >"$folder/script.py" <<'PYTHON'
import duckdb

con = duckdb.connect()
con.execute("create table t as select 1 as a")
con.execute("create table u as select 1 as a, 2 as b")
con.execute("copy t to 't.parquet'")
con.execute("create view one as from read_parquet('t.parquet')")
con.execute("create view listed as from read_parquet(['t.parquet'])")
for select in (
    "select b from t join u on t.a = u.a",
    "select b from t join u using (a)",
    "select a from one",
    "select a from listed",
):
    rows = len(con.execute(select).fetchall())
    try:
        names = sorted(con.get_table_names(select))
    except duckdb.Error as error:
        names = str(error).splitlines()[0]
    print(f"{select}: {rows} row; {names}")
PYTHON
cd "$folder"
said=$(venv/bin/python script.py)
echo "$said"
[[ "$said" == *"on t.a = u.a: 1 row; ['t', 'u']"* && "$said" == *"from one: 1 row; []"* ]] || { echo "it changed"; exit 1; }
[[ "$said" == *"using (a): 1 row; Binder Error"* ]] || { echo "it changed"; exit 1; }
[[ "$said" == *"from listed: 1 row; Parser Error"* ]] || { echo "it changed"; exit 1; }
