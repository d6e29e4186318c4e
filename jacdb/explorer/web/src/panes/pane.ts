/** What panes share: what is shown, the state, the colours, the entry under the pointer. */
import type { Environment, Index, Run, RunFile } from '../data/contract';
import type { Database } from '../data/database';
import type { Episode, EpisodeReader } from '../data/episode';
import type { Occurrences } from '../data/occurrences';
import type { Patterns } from '../data/patterns';
import type { Shape } from '../data/shape';
import type { Palette } from '../drawing/palette';
import type { State, Store } from '../state';

/** A run, with what its file says. */
export interface OpenRun {
  run: Run;
  environment: Environment;
  file: RunFile;
  shape: Shape;
  patterns: Patterns;
}

/** An episode on the page. */
export interface Shown extends OpenRun {
  episode: Episode;
  /** of the run's steps; under a condition, of those that meet it */
  occurrences: Occurrences;
  /** of the episode's steps, with what held in them; under a condition, of those that meet it */
  here: Occurrences;
  /** by entry: the share of `occurrences` in which it is zero */
  zeroShare: Float64Array;
  /** steps of the episode that meet the condition; null where there is none */
  mask: Uint8Array | null;
}

export interface App {
  index: Index;
  store: Store;
  reader: EpisodeReader;
  database: Database;
  colours: Palette;
  openRun(env: string, run: string): Promise<OpenRun>;
  /** tell everyone which entry is under the pointer or the cursor; -1 for none */
  hover(entry: number): void;
  /** say something to people who listen to the page */
  announce(text: string): void;
}

export interface Pane {
  root: HTMLElement;
  /** another episode, or other statistics of it */
  show?(shown: Shown): void;
  /** the state changed: step, entry, and so on */
  update?(state: State, changed: Set<keyof State>): void;
  hovered?(entry: number): void;
  repaint?(): void;
}
