/** In how many steps each zero pattern is shown, in all and while each constraint holds. */
import type { Episode } from './episode';
import type { RunFile } from './contract';
import type { Patterns } from './patterns';

export class Occurrences {
  steps = 0;
  readonly patterns = new Map<number, number>();
  readonly constraints = new Map<string, Map<number, number>>();

  /** `scope` says in words over which steps. */
  constructor(readonly scope: string, private readonly source: Patterns) {}

  /** What is to be said where no step counts. */
  get none(): string {
    return `No step counts: of ${this.scope} none is finite (free of NaN and infinity) and by an exact method `
      + '(finite differences tell no zeros).';
  }

  add(pattern: number, n: number): void {
    if (pattern < 0 || !n) return;
    this.steps += n;
    this.patterns.set(pattern, (this.patterns.get(pattern) ?? 0) + n);
  }

  addHeld(constraint: string, pattern: number, n: number): void {
    if (pattern < 0) return;
    let counts = this.constraints.get(constraint);
    if (!counts) this.constraints.set(constraint, (counts = new Map()));
    counts.set(pattern, (counts.get(pattern) ?? 0) + n);
  }

  /** Take the steps of a run from its file, which does not say what held in them. */
  static ofRunFile({ patterns: stored }: Pick<RunFile, 'patterns'>, patterns: Patterns): Occurrences {
    const found = new Occurrences("the run's steps", patterns);
    stored.forEach(({ steps }, at) => found.add(at, steps));
    return found;
  }

  /** Count the steps of an episode; under a condition, those that meet it. */
  static ofEpisode(episode: Episode, mask: Uint8Array | null): Occurrences {
    const found = new Occurrences(`the episode's steps${mask ? ' that meet the condition' : ''}`, episode.patterns);
    for (let step = 0; step < episode.steps; step++) {
      if (mask && !mask[step]) continue;
      found.add(episode.pattern[step], 1);
      for (const name of episode.held(step)) found.addHeld(name, episode.pattern[step], 1);
    }
    return found;
  }

  /** Return in which share of the steps each entry is zero; NaN without a step. */
  zeroShare(size: number): Float64Array {
    const shares = new Float64Array(size);
    for (const [pattern, n] of this.patterns) {
      const zeros = this.source.zeros(pattern);
      for (let entry = 0; entry < size; entry++) shares[entry] += zeros[entry] * n;
    }
    for (let entry = 0; entry < size; entry++) shares[entry] /= this.steps;
    return shares;
  }

  /** Return in which share of the steps an entry is zero; NaN without a step. */
  zeroShareOf(entry: number): number {
    let zero = 0;
    for (const [pattern, n] of this.patterns) zero += this.source.zeros(pattern)[entry] * n;
    return zero / this.steps;
  }

  /** Return for each constraint in which share of its steps an entry is not zero, and in which share of the others. */
  explain(entry: number): { name: string; steps: number; withIt: number; without: number }[] {
    const nonZero = (counts: Map<number, number>) => {
      let [there, all] = [0, 0];
      for (const [pattern, n] of counts) {
        all += n;
        if (!this.source.zeros(pattern)[entry]) there += n;
      }
      return [there, all];
    };
    const [there, all] = nonZero(this.patterns);
    return [...this.constraints].map(([name, counts]) => {
      const [thereWith, allWith] = nonZero(counts);
      return { name, steps: allWith, withIt: thereWith / allWith, without: (there - thereWith) / (all - allWith) };
    }).sort((a, b) => gain(b) - gain(a) || b.steps - a.steps);
  }

  /** Return the other entries that are zero in exactly the same steps. */
  together(entry: number, size: number): number[] {
    const shown = [...this.patterns.keys()].map((pattern) => this.source.zeros(pattern));
    const found: number[] = [];
    for (let other = 0; other < size; other++) {
      if (other !== entry && shown.every((zeros) => zeros[other] === zeros[entry])) found.push(other);
    }
    return found;
  }
}

function gain({ withIt, without }: { withIt: number; without: number }): number {
  return Number.isNaN(without) ? 0 : Math.abs(withIt - without);
}
