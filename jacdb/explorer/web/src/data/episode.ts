/** One episode in memory, and the worker that reads them. */
import { address } from './files';
import type { Index, Run, RunFile } from './contract';
import type { EpisodeAnswer, EpisodeRequest, EpisodeRows } from './episodeRows';
import { Patterns, ZERO_THRESHOLD } from './patterns';
import type { Shape } from './shape';

const KEPT = 3; // episodes in memory: the shown one, one to compare with, and the last

/** An episode with the zero patterns of its run. */
export class Episode {
  readonly steps: number;
  /** by step: the pattern's number in the run, -1 where there is none */
  readonly pattern: Int32Array;
  readonly size: number;
  private readonly decided: Uint8Array;
  private decidedStep = -1;

  constructor(readonly rows: EpisodeRows, readonly patterns: Patterns, readonly shape: Shape, readonly number: number) {
    this.steps = rows.steps;
    this.size = shape.rows * shape.cols;
    this.decided = new Uint8Array(this.size);
    const places = rows.patternIds.map((id) => patterns.place(id));
    this.pattern = rows.pattern.map((local) => (local < 0 ? -1 : places[local]));
  }

  /** Return an entry's value in a step; NaN where there is none. */
  value(step: number, entry: number): number {
    return this.rows.values ? this.rows.values[step * this.size + entry] : NaN;
  }

  /** Return which entries are zero in a step: by the stored pattern, or by the values where there is none.
   *
   * Null where nobody knows: of steps by finite differences, which tell no zeros, and of those that are not finite.
   */
  zeros(step: number): Uint8Array | null {
    const pattern = this.pattern[step];
    if (pattern >= 0) return this.patterns.zeros(pattern);
    if (!this.rows.exact[step] || !this.rows.values) return null;
    if (this.decidedStep !== step) {
      this.decidedStep = step;
      for (let entry = 0; entry < this.size; entry++) {
        this.decided[entry] = Math.abs(this.value(step, entry)) < ZERO_THRESHOLD ? 1 : 0;
      }
    }
    return this.decided;
  }

  /** Return what holds in a step, by name: contacts, then other constraints. */
  held(step: number): string[] {
    const { touching, pairs, holding, constraints } = this.rows;
    return [
      ...touching[step].map(({ pair }) => `contact:${pairs[pair][0]} - ${pairs[pair][1]}`),
      ...holding[step].map((at) => constraints[at]),
    ];
  }
}

/** Reads episodes, one request after the other; keeps the last few. */
export class EpisodeReader {
  private readonly worker = new Worker(new URL('./episode.worker.ts', import.meta.url), { type: 'module' });
  private readonly waiting = new Map<number, { done: (rows: EpisodeRows) => void; failed: (error: Error) => void }>();
  private readonly kept = new Map<string, Promise<EpisodeRows>>();
  private next = 0;

  constructor(private readonly index: Index) {
    this.worker.onmessage = ({ data }: MessageEvent<EpisodeAnswer>) => {
      const waiting = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ('error' in data) waiting?.failed(new Error(`this episode can't be read: ${data.error}`));
      else waiting?.done(data.rows);
    };
    this.worker.onerror = () => {
      for (const { failed } of this.waiting.values()) failed(new Error('the reader of Parquet files does not start here'));
      this.waiting.clear();
    };
  }

  /** Return an episode of a run; refuse one that the run has not. */
  async read(run: Run, file: RunFile, patterns: Patterns, shape: Shape, number: number): Promise<Episode> {
    const row = file.episodes.find(({ episode }) => episode === number);
    if (!row) throw new Error(`run ${run.run_id} has no episode ${number}`);
    const key = JSON.stringify([run.env, run.run_id, number]);
    let rows = this.kept.get(key);
    this.kept.delete(key);
    if (!rows) {
      const part = file.parts[row.part];
      rows = this.ask({
        id: this.next++,
        url: address(part.path, this.index.parts),
        bytes: part.bytes,
        rowStart: row.first_row,
        rowEnd: row.first_row + row.n_steps,
        dState: shape.dState,
        dAction: shape.cols - shape.dState,
        float64: run.dtype === 'float64',
      });
      rows.catch(() => this.kept.delete(key));
    }
    this.kept.set(key, rows);
    for (const old of [...this.kept.keys()].slice(0, -KEPT)) this.kept.delete(old);
    return new Episode(await rows, patterns, shape, number);
  }

  private ask(request: EpisodeRequest): Promise<EpisodeRows> {
    return new Promise((done, failed) => {
      this.waiting.set(request.id, { done, failed });
      this.worker.postMessage(request);
    });
  }
}
