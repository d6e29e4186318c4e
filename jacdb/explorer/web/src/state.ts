/** The state of the page: it stands whole in the address, so that a view can be cited. */
import { nextFrame } from './page/frame';
import type { Jacobian } from './data/shape';

export const PANES = ['entry', 'block', 'graph', 'compare', 'filter', 'views'] as const;
export type PaneName = (typeof PANES)[number];

/** What the matrix shows: values by decades, which entries are zero, or in which share of the steps. */
export const COLOURS = ['log', 'zero', 'share'] as const;
export type Colour = (typeof COLOURS)[number];

export interface EpisodeName {
  env: string;
  run: string;
  episode: number;
}

export interface State extends EpisodeName {
  step: number;
  entry: { jacobian: Jacobian; row: number; col: number } | null;
  colour: Colour;
  /** numbers of two bodies: rows, columns */
  block: { row: number; col: number } | null;
  compare: EpisodeName | null;
  where: string;
  threshold: number;
  /** per cent of the steps in which an edge of the graph is at least there */
  least: number;
  view: string;
  pane: PaneName;
}

export const START: State = {
  env: '', run: '', episode: 0, step: 0, entry: null, colour: 'log', block: null, compare: null, where: '',
  threshold: 1e-12, least: 0, view: '', pane: 'entry',
};

/** Return the state that an address says; what it does not say, or spells wrongly, is as at the start. */
export function parse(hash: string): State {
  const said = new URLSearchParams(hash.replace(/^#/, ''));
  const text = (name: string) => said.get(name) ?? '';
  const whole = (value: string) => (/^\d{1,9}$/.test(value) ? Number(value) : 0);
  const entry = /^(state|action),(\d{1,5}),(\d{1,5})$/.exec(text('entry'));
  const block = /^(\d{1,5}),(\d{1,5})$/.exec(text('block'));
  const threshold = Number(text('threshold') || START.threshold);
  return {
    env: text('env'), run: text('run'), episode: whole(text('episode')), step: whole(text('step')),
    entry: entry && { jacobian: entry[1] as Jacobian, row: Number(entry[2]), col: Number(entry[3]) },
    colour: COLOURS.find((colour) => colour === text('colour')) ?? 'log',
    block: block && { row: Number(block[1]), col: Number(block[2]) },
    compare: parseEpisode(text('compare')),
    where: text('where'),
    threshold: threshold > 0 && Number.isFinite(threshold) ? threshold : START.threshold,
    least: Math.min(whole(text('least')), 100),
    view: text('view'),
    pane: PANES.find((pane) => pane === text('pane')) ?? 'entry',
  };
}

/** Return the address that says a state: what is as at the start is left out. */
export function format(state: State): string {
  const said = new URLSearchParams({ env: state.env, run: state.run, episode: String(state.episode), step: String(state.step) });
  const { entry, block, compare } = state;
  if (entry) said.set('entry', `${entry.jacobian},${entry.row},${entry.col}`);
  if (state.colour !== 'log') said.set('colour', state.colour);
  if (block) said.set('block', `${block.row},${block.col}`);
  if (compare) said.set('compare', [compare.env, compare.run].map(encodeURIComponent).join(',') + `,${compare.episode}`);
  if (state.where) said.set('where', state.where);
  if (state.threshold !== START.threshold) said.set('threshold', state.threshold.toExponential());
  if (state.least) said.set('least', String(state.least));
  if (state.view) said.set('view', state.view);
  if (state.pane !== 'entry') said.set('pane', state.pane);
  return `#${said}`;
}

function parseEpisode(text: string): EpisodeName | null {
  const parts = text.split(',');
  if (parts.length !== 3 || !/^\d{1,9}$/.test(parts[2])) return null;
  try {
    const [env, run] = parts.slice(0, 2).map(decodeURIComponent);
    return { env, run, episode: Number(parts[2]) };
  } catch {
    return null;
  }
}

type Key = keyof State;
type Listener = (changed: Set<Key>) => void;

/** Holds the state; tells listeners of changes once a frame, and writes the address. */
export class Store {
  state: State = parse(location.hash);
  private readonly listeners: Listener[] = [];
  private changed = new Set<Key>();
  private isFromAddress = false;
  private timer = 0;

  constructor() {
    addEventListener('hashchange', () => {
      this.isFromAddress = true;
      this.set(parse(location.hash));
      nextFrame(this.tell); // where nothing changed, too: what the address said wrongly is written anew
    });
  }

  subscribe(listener: Listener): void {
    this.listeners.push(listener);
  }

  set(patch: Partial<State>): void {
    for (const key of Object.keys(patch) as Key[]) {
      if (!same(patch[key], this.state[key])) this.changed.add(key);
    }
    if (!this.changed.size) return;
    this.state = { ...this.state, ...patch };
    nextFrame(this.tell);
  }

  /** Put right what the state names, and tell no one: who does so shows it. */
  complete(patch: Partial<State>): void {
    this.state = { ...this.state, ...patch };
  }

  /** Write the address anew, where what it names was completed. */
  touch(): void {
    this.write('replaceState');
  }

  private readonly tell = () => {
    const changed = this.changed;
    const { isFromAddress } = this;
    this.changed = new Set();
    this.isFromAddress = false;
    for (const listener of this.listeners) listener(changed);
    // an address that is completed is no place of its own: Back would meet it, and it would be completed again
    if (isFromAddress) this.touch();
    else if (['env', 'run', 'episode', 'compare', 'view', 'pane'].some((key) => changed.has(key as Key))) this.write('pushState');
    else this.writeSoon();
  };

  /** Browsers refuse more than a hundred writes in some seconds, so scrubbing writes at its end. */
  private writeSoon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.touch(), 150);
  }

  private write(how: 'pushState' | 'replaceState'): void {
    clearTimeout(this.timer);
    const hash = format(this.state);
    if (hash !== location.hash) history[location.hash ? how : 'replaceState'](null, '', hash);
  }
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
