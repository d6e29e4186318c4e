/** The figures of one entry: its values along the episode, and how they are spread. */
import type { Palette } from '../../drawing/palette';
import type { Pen } from '../../drawing/pen';
import { number } from '../../page/format';
import type { Episode } from '../../data/episode';

const BINS = 40;
const BELOW = 16; // pixels for the numbers under a figure

export interface Bins {
  low: number;
  high: number;
  counts: number[];
  zeros: number;
  missing: number;
}

/** Return how many steps have the entry's value in each of some bins; zeros are counted apart. */
export function binsOf(episode: Episode, entry: number): Bins | null {
  if (!episode.rows.values) return null;
  let [low, high, zeros, missing] = [Infinity, -Infinity, 0, 0];
  const there: number[] = [];
  for (let step = 0; step < episode.steps; step++) {
    const value = episode.value(step, entry);
    if (!Number.isFinite(value)) missing++;
    else if (episode.zeros(step)[entry]) zeros++;
    else {
      there.push(value);
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const counts = new Array<number>(BINS).fill(0);
  const width = (high - low) / BINS;
  for (const value of there) counts[width > 0 ? Math.min(Math.floor((value - low) / width), BINS - 1) : BINS >> 1]++;
  return { low, high, counts, zeros, missing };
}

/** Draw an entry's values along an episode; steps in which it is zero lie on a grey band. */
export function paintHistory(pen: Pen, episode: Episode, entry: number, width: number, height: number, colours: Palette): void {
  const below = height - BELOW;
  const x = (step: number) => (step / episode.steps) * width;
  let [low, high] = [0, 0];
  for (let step = 0; step < episode.steps; step++) {
    const value = there(episode, step, entry);
    if (value < low && value > -Infinity) low = value;
    if (value > high && value < Infinity) high = value;
  }
  const y = (value: number) => below - 4 - ((value - low) / (high - low || 1)) * (below - 10);
  let from = 0;
  for (let step = 0; step <= episode.steps; step++) {
    if (step < episode.steps && episode.zeros(step)[entry]) continue;
    if (step > from) pen.rect(x(from), 0, x(step) - x(from), below, colours.zero);
    from = step + 1;
  }
  const muted = { size: 10, fill: colours.muted };
  if (episode.rows.values) {
    pen.line([0, y(0), width, y(0)], colours.rule);
    const points: number[] = [];
    for (let step = 0; step < episode.steps; step++) {
      const value = there(episode, step, entry);
      if (Number.isFinite(value)) points.push(x(step), y(value), x(step + 1), y(value));
    }
    if (points.length) pen.line(points, colours.state, 1.25);
    pen.text(2, 10, high ? number(high) : '', muted);
    if (low < 0) pen.text(2, below - 1, number(low), muted);
  }
  pen.text(0, height - 4, 'step 0', muted);
  pen.text(width, height - 4, String(episode.steps - 1), { ...muted, anchor: 'end' });
  pen.text(width / 2, height - 4, 'grey: zero', { ...muted, anchor: 'middle' });
}

/** Return an entry's value, 0 where it counts as zero: what is left there is rounding. */
function there(episode: Episode, step: number, entry: number): number {
  return episode.zeros(step)[entry] ? 0 : episode.value(step, entry);
}

/** Draw how values are spread: a bar of zeros on the left, then a bar for each bin. */
export function paintHistogram(pen: Pen, bins: Bins, width: number, height: number, colours: Palette): void {
  const below = height - BELOW;
  const most = Math.max(...bins.counts, bins.zeros, 1);
  const tall = (n: number) => (n / most) * (below - 14);
  const muted = { size: 10, fill: colours.muted };
  const left = 60;
  pen.rect(4, below - tall(bins.zeros), 40, tall(bins.zeros), colours.constraint);
  pen.text(24, below - tall(bins.zeros) - 3, String(bins.zeros), { ...muted, anchor: 'middle' });
  pen.text(24, height - 4, 'zero', { ...muted, anchor: 'middle' });
  const bar = (width - left - 4) / bins.counts.length;
  bins.counts.forEach((n, at) => {
    if (n) pen.rect(left + at * bar, below - Math.max(tall(n), 1), Math.max(bar - 1, 1), Math.max(tall(n), 1), colours.state);
  });
  pen.line([0, below + 0.5, width, below + 0.5], colours.rule);
  if (bins.low <= bins.high) {
    pen.text(left, height - 4, number(bins.low), muted);
    pen.text(width - 2, height - 4, number(bins.high), { ...muted, anchor: 'end' });
    pen.text(left, 10, `most in a bar: ${Math.max(...bins.counts)} steps`, muted);
  }
}
