/** Which steps of a run meet a condition. */
import type { OpenRun } from '../panes/pane';
import type { Database, Told } from './database';
import type { Episode } from './episode';
import { Occurrences } from './occurrences';

const COUNTS = `
select pattern_id::varchar as pattern, null as name, count(*) as n from exact_steps where finite group by pattern_id
union all
select pattern, name, count(*) from (
    select pattern_id::varchar as pattern, unnest(constraint_names(contacts, active)) as name from exact_steps where finite
) group by pattern, name`;

/** Return which steps of an episode meet a condition. */
export async function maskOf(
  database: Database, { run, file }: Pick<OpenRun, 'run' | 'file'>, episode: Episode, where: string, tell: Told,
): Promise<Uint8Array> {
  const mask = new Uint8Array(episode.steps);
  const text = `select step from steps where episode = ${episode.number}`;
  const met = await database.ask(text, run, file, where, true, tell);
  for (const [step] of met.rows) mask[Number(step)] = 1;
  return mask;
}

/** Return in how many steps of a run each pattern is shown, in all and while each constraint holds. */
export async function ofRun(
  database: Database, { run, file, patterns }: Pick<OpenRun, 'run' | 'file' | 'patterns'>, where: string, tell: Told,
): Promise<Occurrences> {
  const found = new Occurrences(where ? "the run's steps that meet the condition" : "the run's steps", patterns);
  const { rows } = await database.ask(COUNTS, run, file, where, true, tell);
  for (const [pattern, name, n] of rows) {
    const place = patterns.place(String(pattern));
    if (name === null) found.add(place, Number(n));
    else found.addHeld(String(name), place, Number(n));
  }
  return found;
}
