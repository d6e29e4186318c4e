/** The SQL and the Python that give what a pane shows. */
import type { Index } from '../data/contract';
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

/** Return a text as one word of a shell. */
function word(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Return a command line that asks SQL, of the steps that meet a condition, safe in a shell. */
export function command(sql: string, where = ''): string {
  return `jacdb sql --data DATA ${where ? `--where ${word(where)} ` : ''}-- ${word(sql)}`;
}

/** Return Python that asks SQL, of the steps that meet a condition. */
export function python(sql: string, where = ''): string {
  const steps = where ? `.where(${JSON.stringify(where)})` : '';
  return `import jacdb\n\ndataset = jacdb.open("DATA")${steps}\ndataset.sql(${JSON.stringify(sql)}).pl()`;
}

export function codeOf(sql: string, where = ''): Code[] {
  return [{ title: 'Shell', lines: command(sql, where) }, { title: 'Python', lines: python(sql, where) }];
}

/** Return what gives a view: of the steps of the shown run that meet the condition, or, with `ofRun` false, of all runs. */
export function viewCode(index: Index, view: string, { run }: Pick<Shown, 'run'>, where: string, ofRun = true): Code[] {
  const isAlone = index.runs.every((other) => other.env !== run.env || other.run_id === run.run_id);
  const conditions = [isAlone ? '' : `run_id = ${literal(run.run_id)}`, where && `(${where})`].filter(Boolean);
  return codeOf(`from ${view} where env = ${literal(run.env)}`, ofRun ? conditions.join(' and ') : '');
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
