/** The figures of one entry: its values along the episode, and how they are spread. */
import type { Palette } from '../../drawing/palette';
import type { Pen } from '../../drawing/pen';
import { count, number } from '../../page/format';
import type { Episode } from '../../data/episode';

const BINS = 40;
export const BELOW = 16; // pixels for the numbers under a figure
export const ABOVE = 16; // and over it

export interface Bins {
  low: number;
  high: number;
  counts: number[];
  zeros: number;
  /** steps that are in no bin: by finite differences, or not finite */
  leftOut: number;
}

/** Return how many steps have the entry's value in each of some bins; zeros are counted apart, and steps that tell no zeros in neither. */
export function binsOf(episode: Episode, entry: number): Bins | null {
  if (!episode.rows.values) return null;
  let [low, high, zeros, leftOut] = [Infinity, -Infinity, 0, 0];
  const there: number[] = [];
  for (let step = 0; step < episode.steps; step++) {
    const value = episode.value(step, entry);
    const known = episode.zeros(step);
    if (!known || !Number.isFinite(value)) leftOut++;
    else if (known[entry]) zeros++;
    else {
      there.push(value);
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const counts = new Array<number>(BINS).fill(0);
  const width = (high - low) / BINS;
  for (const value of there) counts[width > 0 ? Math.min(Math.floor((value - low) / width), BINS - 1) : BINS >> 1]++;
  return { low, high, counts, zeros, leftOut };
}

/** Draw an entry's values along an episode; steps in which it is zero lie on a grey band. */
export function paintHistory(pen: Pen, episode: Episode, entry: number, width: number, height: number, colours: Palette): void {
  const below = height - BELOW;
  const x = (step: number) => (step / episode.steps) * width;
  let [least, most] = [Infinity, -Infinity];
  for (let step = 0; step < episode.steps; step++) {
    const value = there(episode, step, entry);
    if (!Number.isFinite(value)) continue;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  const [low, high] = [Math.min(least, 0), Math.max(most, 0)]; // the line of nothing is in the figure
  const y = (value: number) => below - 3 - ((value - low) / (high - low || 1)) * (below - ABOVE - 6);
  let [from, zeros] = [0, 0];
  for (let step = 0; step <= episode.steps; step++) {
    if (step < episode.steps && episode.zeros(step)?.[entry]) continue;
    if (step > from) pen.rect(x(from), ABOVE, x(step) - x(from), below - ABOVE, colours.band);
    zeros += step - from;
    from = step + 1;
  }
  const muted = { size: 11, fill: colours.muted };
  if (episode.rows.values && least <= most) {
    pen.line([0, y(0), width, y(0)], colours.rule);
    let points: number[] = [];
    for (let step = 0; step <= episode.steps; step++) {
      const value = step < episode.steps ? there(episode, step, entry) : NaN;
      if (Number.isFinite(value)) points.push(x(step), y(value), x(step + 1), y(value));
      else if (points.length) { // the line breaks where a step is not finite
        pen.line(points, colours.state, 1.25);
        points = [];
      }
    }
    const [from4, to4] = [least, most].map((value) => number(Number(value.toPrecision(4))));
    pen.text(0, 11, from4 === to4 ? `${to4} in each step` : `from ${from4} to ${to4}`, muted);
  }
  if (zeros) {
    pen.rect(width - 66, 2, 12, 10, colours.band, colours.rule);
    pen.text(width, 11, 'it is zero', { ...muted, anchor: 'end' });
  }
  pen.text(0, height - 4, 'step 0', muted);
  pen.text(width, height - 4, String(episode.steps - 1), { ...muted, anchor: 'end' });
}

/** Return an entry's value, 0 where it counts as zero: what is left there is rounding. */
function there(episode: Episode, step: number, entry: number): number {
  return episode.zeros(step)?.[entry] ? 0 : episode.value(step, entry);
}

/** Draw how values are spread: a bar of zeros on the left, then a bar for each bin. */
export function paintHistogram(pen: Pen, bins: Bins, width: number, height: number, colours: Palette): void {
  const below = height - BELOW;
  const most = Math.max(...bins.counts, bins.zeros, 1);
  const tall = (n: number) => (n / most) * (below - 14);
  const muted = { size: 11, fill: colours.muted };
  const left = 60;
  pen.rect(4, below - tall(bins.zeros), 40, tall(bins.zeros), colours.constraint);
  pen.text(24, below - tall(bins.zeros) - 3, String(bins.zeros), { ...muted, anchor: 'middle' });
  pen.text(24, height - 4, 'zero', { ...muted, anchor: 'middle' });
  const bar = (width - left - 4) / bins.counts.length;
  bins.counts.forEach((n, at) => {
    if (n) pen.rect(left + at * bar, below - Math.max(tall(n), 1), Math.max(bar - 1, 1), Math.max(tall(n), 1), colours.state);
  });
  pen.line([0, below + 0.5, width, below + 0.5], colours.rule);
  if (bins.leftOut) pen.text(width - 2, 11, `without ${count(bins.leftOut, 'step')} by fd or not finite`, { ...muted, anchor: 'end' });
  if (bins.low <= bins.high) {
    pen.text(left, height - 4, number(Number(bins.low.toPrecision(4))), muted);
    pen.text(width - 2, height - 4, number(Number(bins.high.toPrecision(4))), { ...muted, anchor: 'end' });
    pen.text(left, 11, `highest bar: ${count(Math.max(...bins.counts), 'step')}`, muted);
  }
}
