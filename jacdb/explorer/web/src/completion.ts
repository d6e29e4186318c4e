/** What a state names and a dataset has: what it has not is as at the start. */
import type { Index } from './data/contract';
import type { Shape } from './data/shape';
import { viewNames } from './data/viewTexts';
import type { EpisodeName, State } from './state';

/** Return what has to be said otherwise for a state to name a run, a view, and a run to compare with, that are there. */
export function ofIndex(state: State, { environments, runs, views }: Index): Partial<State> {
  if (!runs.length) throw new Error('This dataset has no finished run yet.');
  const env = environments.some(({ name }) => name === state.env) ? state.env : '';
  const known = runs.find((run) => run.env === state.env && run.run_id === state.run)
    ?? runs.find((run) => run.env === (env || runs[0].env))!;
  const isAsked = known.env === state.env && (!state.run || known.run_id === state.run);
  const { compare, view } = state;
  const isThere = compare && runs.some((run) => run.env === compare.env && run.run_id === compare.run);
  return {
    env: known.env,
    run: known.run_id,
    ...(isAsked ? {} : { entry: null, block: null }),
    compare: isThere ? compare : null,
    view: viewNames(views).includes(view) ? view : '',
  };
}

/** Return what a state named that is not there, and what is shown instead; nothing where all is. */
export function notThere(asked: EpisodeName, { env, run, episode }: EpisodeName): string {
  if (asked.env && asked.env !== env) return `No environment ${asked.env} in this dataset: ${env} is shown.`;
  if (asked.run && asked.run !== run) return `No run ${asked.run} of ${env}: ${run} is shown.`;
  if (asked.episode && asked.episode !== episode) return `No episode ${asked.episode} in this run: episode ${episode} is shown.`;
  return '';
}

/** Return what has to be said otherwise for a state to name an entry and a block that a matrix has. */
export function ofShape({ entry, block }: State, shape: Shape): Partial<State> {
  const isBlock = block && shape.rowBody.includes(block.row) && shape.colBody.includes(block.col);
  return {
    entry: entry && shape.place(entry.jacobian, entry.row, entry.col) >= 0 ? entry : null,
    block: isBlock ? block : null,
  };
}
