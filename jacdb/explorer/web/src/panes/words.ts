/** Entries and steps in words. */
import { number, percent } from '../page/format';
import type { Run } from '../data/contract';
import type { Shape } from '../data/shape';
import type { Shown } from './pane';

/** Return an entry's name: which axis of the next state, by which of the state or action. */
export function nameOf(shape: Shape, entry: number): string {
  return `∂ ${shape.rowAxis(entry).name} / ∂ ${shape.colAxis(entry).name}`;
}

/** Return an entry's value in a step, with its unit; without matrices, whether it is zero. */
export function valueOf({ episode, shape }: Shown, step: number, entry: number): string {
  const value = episode.value(step, entry);
  const unit = shape.unit(entry);
  if (episode.rows.values && Number.isNaN(value)) return 'not a number';
  if (!episode.rows.values) {
    const zeros = episode.zeros(step);
    return zeros ? (zeros[entry] ? 'zero' : 'not zero') : 'not known';
  }
  return `${number(value)}${unit === '1' ? '' : ` ${unit}`}`;
}

/** Return all that is said of an entry under the pointer. */
export function describe(shown: Shown, step: number, entry: number): string {
  const { shape, zeroShare, occurrences } = shown;
  const share = zeroShare[entry];
  const seldom = Number.isNaN(share) ? '' : `; zero in ${percent(share)} of ${occurrences.scope}`;
  return `${nameOf(shape, entry)} = ${valueOf(shown, step, entry)}${seldom}`;
}

/** Return a run's name: those of one policy and seed differ in what follows. */
export function runWords({ policy, seed, method, run_id: id }: Run): string {
  return `${policy}, seed ${seed}, ${method} (${id})`;
}

/** Return a constraint as people read it: "contact:a - b" is "a touches b". */
export function constraintWords(name: string): string {
  if (name.startsWith('contact:')) return name.slice('contact:'.length).replace(' - ', ' touches ');
  const [kind, ...rest] = name.split(':');
  return `${kind.replaceAll('_', ' ')}: ${rest.join(':')}`;
}
