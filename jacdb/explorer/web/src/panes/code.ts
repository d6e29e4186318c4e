/** The SQL and the Python that give what a pane shows. */
import type { State } from '../state';
import type { Shown } from './pane';

export interface Code {
  title: string;
  lines: string;
}

/** Return a text as SQL says it. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Return a command line that asks SQL, safe in a shell. */
export function command(sql: string): string {
  return `jacdb sql --data DATA -- '${sql.replaceAll("'", `'\\''`)}'`;
}

/** Return Python that asks SQL. */
export function python(sql: string): string {
  return `import jacdb\n\ndataset = jacdb.open("DATA")\ndataset.sql(${JSON.stringify(sql)}).pl()`;
}

export function codeOf(sql: string): Code[] {
  return [{ title: 'Shell', lines: command(sql) }, { title: 'Python', lines: python(sql) }];
}

/** Return the condition that picks the shown episode. */
export function episodeIs({ run, episode }: Pick<Shown, 'run' | 'episode'>): string {
  return `env = ${literal(run.env)} and run_id = ${literal(run.run_id)} and episode = ${episode.number}`;
}

/** Return what gives the matrices of the shown step. */
export function stepCode(shown: Shown, state: State): Code[] {
  return codeOf(`select j_state, j_action from steps where ${episodeIs(shown)} and step = ${state.step}`);
}

/** Return what gives an entry over the shown episode. Lists of SQL count from 1. */
export function entryCode(shown: Shown, entry: number): Code[] {
  const { jacobian, row, col } = shown.shape.named(entry);
  return codeOf(`select step, j_${jacobian}[${row + 1}][${col + 1}] as value from steps where ${episodeIs(shown)} order by step`);
}
