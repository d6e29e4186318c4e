/** DuckDB in the page, loaded when something asks SQL: jacdb's own views over small tables. */
import type { AsyncDuckDB, AsyncDuckDBConnection } from '@duckdb/duckdb-wasm';
import type { Index, Run, RunFile } from './contract';
import { address, fetchBytes } from './files';
import { isOneExpression } from './oneExpression';
import { countsSteps, definitions, STEPS } from './viewTexts';

export interface Answer {
  columns: string[];
  rows: unknown[][];
}

export type Told = (sentence: string) => void;

export class Database {
  private opened: Promise<AsyncDuckDBConnection> | null = null;
  private engine: AsyncDuckDB | null = null;
  private laid = '';
  private files = 0;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly index: Index) {}

  /** Answer a view of an environment; steps, where it needs them, are those of a run that meet a condition. */
  view(name: string, run: Run, file: RunFile, where: string, tell: Told = () => {}): Promise<Answer> {
    const text = `from ${identifier(name)} where env = ${quote(run.env)}`;
    const counted = Boolean(where) || countsSteps(this.index, name, where);
    return this.ask(text, run, file, where, counted, tell);
  }

  /** Answer a SELECT over the views, with the steps of a run. */
  ask(select: string, run: Run, file: RunFile, where: string, withSteps: boolean, tell: Told = () => {}): Promise<Answer> {
    const job = this.queue.then(async () => {
      const connection = await this.connect(tell);
      if (withSteps) await this.lay(connection, run, file, where, tell);
      else if (this.laid) await this.layViews(connection, null, '');
      tell('');
      return answer(connection, select);
    }).catch((error: Error) => {
      throw new Error(inOneLine(error.message));
    });
    this.queue = job.catch(() => {});
    return job;
  }

  private connect(tell: Told): Promise<AsyncDuckDBConnection> {
    this.opened ??= this.open(tell).catch((error: Error) => {
      this.opened = null;
      throw error;
    });
    return this.opened;
  }

  private async open(tell: Told): Promise<AsyncDuckDBConnection> {
    tell('Loading DuckDB …');
    const [{ AsyncDuckDB, VoidLogger }, { default: wasm }, { default: script }] = await Promise.all([
      import('@duckdb/duckdb-wasm'),
      import('@duckdb/duckdb-wasm/dist/duckdb-eh.wasm?url'),
      import('@duckdb/duckdb-wasm/dist/duckdb-browser-eh.worker.js?url'),
    ]);
    this.engine = new AsyncDuckDB(new VoidLogger(), new Worker(new URL(script, document.baseURI)));
    await this.engine.instantiate(new URL(wasm, document.baseURI).href, null, ({ bytesLoaded, bytesTotal }) => {
      tell(`Loading DuckDB: ${Math.round((100 * bytesLoaded) / (bytesTotal || bytesLoaded || 1))} %`);
    });
    await this.engine.open({ query: { castBigIntToDouble: false } });
    const connection = await this.engine.connect();
    await connection.query('set autoinstall_known_extensions = false');
    await connection.query('set autoload_known_extensions = false');
    await this.attach(connection, 'data/tables.duckdb', 'tables', tell);
    await connection.query('use tables');
    for (const [signature, body] of Object.entries(this.index.views.macros)) {
      await connection.query(`create temp macro ${signature} as ${body}`);
    }
    await this.layViews(connection, null, '');
    return connection;
  }

  private async attach(connection: AsyncDuckDBConnection, path: string, name: string, tell: Told): Promise<void> {
    const bytes = await fetchBytes(address(path), (loaded, total) => {
      tell(`Loading tables: ${(loaded / 2 ** 20).toFixed(1)} ${total ? `of ${(total / 2 ** 20).toFixed(1)} ` : ''}MiB`);
    });
    const file = `${name}-${this.files++}.duckdb`;
    await this.engine!.registerFileBuffer(file, bytes);
    await connection.query(`attach ${quote(file)} as ${identifier(name)} (read_only)`);
  }

  /** Lay the steps of a run under the views; a condition that is none of SQL is refused in DuckDB's words. */
  private async lay(connection: AsyncDuckDBConnection, run: Run, file: RunFile, where: string, tell: Told): Promise<void> {
    if (where && !isOneExpression(where)) throw new Error('a condition is one expression, such as: not in_contact');
    const key = JSON.stringify([run.env, run.run_id]);
    if (!this.laid.startsWith(key)) {
      await this.layViews(connection, null, '');
      await connection.query('detach database if exists of_run');
      await this.attach(connection, file.steps, 'of_run', tell);
    }
    if (this.laid !== key + where) await this.layViews(connection, key, where);
  }

  private async layViews(connection: AsyncDuckDBConnection, key: string | null, where: string): Promise<void> {
    this.laid = '';
    for (const { name, text } of definitions(this.index, key !== null, where)) {
      if (text === null) await connection.query(`drop view if exists temp.${identifier(name)}`);
      else if (name === 'steps' && where) await checked(connection, name, text, where);
      else await connection.query(`create or replace temp view ${identifier(name)} as ${text}`).catch(() => {
        // it needs a column that the page does not load; asked for, it says so itself
        return connection.query(`drop view if exists temp.${identifier(name)}`);
      });
    }
    this.laid = key === null ? '' : key + where;
  }
}

/** Make the view of steps under a condition: prepared, for only a single statement can be. */
async function checked(connection: AsyncDuckDBConnection, name: string, text: string, where: string): Promise<void> {
  const statement = await connection.prepare(`${text} limit 0`);
  await statement.query();
  await statement.close();
  // SQL would take a number or a text for true where it is not 0
  const [{ column_type: kind }] = (await connection.query(`describe select (${where}\n) from ${STEPS}`)).toArray();
  if (kind !== 'BOOLEAN') throw new Error(`condition '${where}' is ${kind}, not true or false: compare, as in step < 20`);
  await connection.query(`create or replace temp view ${identifier(name)} as ${text}`);
}

async function answer(connection: AsyncDuckDBConnection, select: string): Promise<Answer> {
  const described = (await connection.query(`describe ${select}`)).toArray();
  const columns = described.map((row) => String(row.column_name));
  const cast = described.map((row) => {
    const name = identifier(String(row.column_name));
    const type = String(row.column_type);
    if (/^(HUGEINT|UHUGEINT|DECIMAL\(\d+,\d+\))$/.test(type)) return `${name}::double as ${name}`;
    if (/^BIT$|^TIMESTAMP/.test(type)) return `${name}::varchar as ${name}`;
    if (/DECIMAL|HUGEINT|STRUCT|BLOB|BIT\b/.test(type)) return `${name}::varchar as ${name}`;
    return name;
  });
  const table = await connection.query(`select ${cast.join(', ')} from (${select})`);
  const vectors = columns.map((_, at) => table.getChildAt(at)!);
  const rows = Array.from({ length: table.numRows }, (_, row) => vectors.map((vector) => plain(vector.get(row))));
  return { columns, rows };
}

/** Return what DuckDB says without the place in the SQL, which is not the person's own. */
function inOneLine(message: string): string {
  return message.split(/\s*\n\s*LINE \d+:/)[0].trim().replace(/\s*\n\s*/g, ' ');
}

/** Return lists of Arrow as lists. */
function plain(value: unknown): unknown {
  if (value && typeof value === 'object' && 'toArray' in value) {
    return Array.from((value as { toArray(): ArrayLike<unknown> }).toArray(), plain);
  }
  return value;
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
