/** Which views are laid over which tables, as jacdb's own catalog does. */
import type { Index } from './contract';

export const STEPS = 'stored_steps';
/** the partial that is of whole episodes, whatever the condition on steps */
const OF_EPISODES = 'threshold_counts';

/** Return the views that are offered, those last that only the command line answers. */
export function viewNames({ order, questions, unavailable }: Index['views']): string[] {
  const names = order.filter((name) => questions[name]?.question);
  return [...names, ...Object.keys(unavailable).filter((name) => questions[name])];
}

/** Return all that a view reads, directly or not; what is in `stop` is read as a table. */
export function needs(index: Index, name: string, stop: Set<string>, found = new Set<string>()): Set<string> {
  const text = (index.views.texts[name] ?? '').replace(/--[^\n]*/g, '');
  for (const [, read] of text.matchAll(/\b(?:from|join)\s+\(?\s*([a-z_]+)/g)) {
    if (found.has(read)) continue;
    found.add(read);
    if (!stop.has(read)) needs(index, read, stop, found);
  }
  return found;
}

/** Return whether a view is counted from the steps of a run that meet a condition; else it is of all runs. */
export function countsSteps(index: Index, name: string, where: string): boolean {
  return needs(index, name, new Set(where ? [OF_EPISODES] : index.views.partials)).has(STEPS);
}

/** Return of what a view is under a condition on steps. */
export function scopeUnder(index: Index, name: string): string {
  const read = needs(index, name, new Set([OF_EPISODES]));
  if (read.has(OF_EPISODES)) return 'of whole episodes of this run, whatever the condition';
  return name === 'steps' || read.has('steps') ? 'of steps of this run that meet the condition' : 'whatever the condition';
}

/** Return the views to make, in order; those without a text are to be dropped.
 *
 * Partials are tables of the dataset; under a condition they are views, counted from the steps that meet it, but one.
 */
export function definitions(index: Index, withSteps: boolean, where: string): { name: string; text: string | null }[] {
  const { order, texts, partials } = index.views;
  const isTable = new Set(where ? [OF_EPISODES] : partials);
  const made = [{ name: STEPS, text: withSteps ? `from of_run.${STEPS}` : null }];
  for (const name of order) {
    let text: string | null = isTable.has(name) ? null : texts[name];
    if (name === 'steps' && where) text = `select * from ${STEPS} where (${where}\n)`;
    if (!withSteps && needs(index, name, isTable).has(STEPS)) text = null;
    made.push({ name, text });
  }
  return made;
}
