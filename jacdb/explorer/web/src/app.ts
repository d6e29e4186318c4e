/** Loads what the state names, and shows it in all panes. */
import type { Index, RunFile } from './data/contract';
import { Database } from './data/database';
import { EpisodeReader, type Episode } from './data/episode';
import { address, fetchJson } from './data/files';
import { Occurrences } from './data/occurrences';
import { Patterns } from './data/patterns';
import { Shape } from './data/shape';
import { stepsThatMeet } from './data/condition';
import { palette, type Palette } from './drawing/palette';
import { setText } from './page/dom';
import type { App, OpenRun, Pane, Shown } from './panes/pane';
import { Store, type State } from './state';

const RUNS_KEPT = 4;

export class Explorer implements App {
  readonly store = new Store();
  readonly reader: EpisodeReader;
  readonly database: Database;
  colours: Palette = palette(false);
  shown: Shown | null = null;
  private readonly panes: Pane[] = [];
  private readonly runs = new Map<string, Promise<OpenRun>>();
  private loading = 0;

  constructor(readonly index: Index, private readonly status: HTMLElement, private readonly live: HTMLElement) {
    this.reader = new EpisodeReader(index);
    this.database = new Database(index);
    this.store.subscribe((state, changed) => this.changed(state, changed));
  }

  add(...panes: Pane[]): void {
    this.panes.push(...panes);
  }

  /** Show what the address names, or else the first run. */
  async start(): Promise<void> {
    await this.load();
  }

  hover(entry: number): void {
    for (const pane of this.panes) pane.hovered?.(entry);
  }

  announce(text: string): void {
    setText(this.live, text);
  }

  say(sentence: string): void {
    setText(this.status, sentence);
    this.status.hidden = !sentence;
  }

  repaint(colours: Palette): void {
    this.colours = colours;
    for (const pane of this.panes) pane.repaint?.();
  }

  /** Return a run with what its file says; the last few are kept. */
  openRun(env: string, runId: string): Promise<OpenRun> {
    const key = JSON.stringify([env, runId]);
    let opened = this.runs.get(key);
    if (!opened) {
      opened = this.open(env, runId);
      opened.catch(() => this.runs.delete(key));
      this.runs.set(key, opened);
      for (const old of [...this.runs.keys()].slice(0, -RUNS_KEPT)) this.runs.delete(old);
    }
    return opened;
  }

  private async open(env: string, runId: string): Promise<OpenRun> {
    const run = this.index.runs.find((one) => one.env === env && one.run_id === runId);
    const environment = this.index.environments.find(({ name }) => name === env);
    if (!run || !environment) throw new Error(`this dataset has no run ${runId} of ${env}`);
    const file = await fetchJson<RunFile>(address(run.file));
    const shape = new Shape(environment);
    return { run, environment, file, shape, patterns: new Patterns(file.patterns, shape) };
  }

  private changed(state: State, changed: Set<keyof State>): void {
    if (['env', 'run', 'episode', 'where'].some((key) => changed.has(key as keyof State))) {
      void this.load();
      return;
    }
    if (!this.shown) return;
    const step = Math.min(state.step, this.shown.episode.steps - 1);
    if (step !== state.step) this.store.set({ step });
    else for (const pane of this.panes) pane.update?.(state, changed);
  }

  private async load(): Promise<void> {
    const turn = ++this.loading;
    try {
      const named = this.complete(this.store.state);
      this.say(`Loading episode ${named.episode} of ${named.env} …`);
      const opened = await this.openRun(named.env, named.run);
      if (!opened.file.episodes.length) throw new Error(`run ${named.run} of ${named.env} has no episode: it is empty`);
      if (!opened.file.episodes.some(({ episode }) => episode === named.episode)) named.episode = opened.file.episodes[0].episode;
      const { run, file, patterns, shape } = opened;
      const episode = await this.reader.read(run, file, patterns, shape, named.episode);
      if (turn !== this.loading) return;
      this.store.state = { ...named, step: Math.min(named.step, episode.steps - 1) };
      await this.count(opened, episode, turn);
    } catch (error) {
      if (turn === this.loading) this.say((error as Error).message);
    }
  }

  /** Show an episode; under a condition, once its steps are known. */
  private async count(opened: OpenRun, episode: Episode, turn: number): Promise<void> {
    const { shape } = opened;
    const { where } = this.store.state;
    let mask: Uint8Array | null = null;
    let occurrences = Occurrences.ofRunFile(opened.file, opened.patterns);
    let trouble = '';
    if (where) {
      try {
        ({ mask, occurrences } = await stepsThatMeet(this.database, opened, episode, where, (text) => this.say(text)));
      } catch (error) {
        trouble = `The condition is not used: ${(error as Error).message}`;
      }
    }
    if (turn !== this.loading) return;
    const zeroShare = occurrences.zeroShare(shape.rows * shape.cols);
    const here = Occurrences.ofEpisode(episode, "the episode's steps");
    this.shown = { ...opened, episode, occurrences, here, zeroShare, mask };
    this.say(trouble);
    this.show();
  }

  private show(): void {
    for (const pane of this.panes) pane.show?.(this.shown!);
    document.title = `${this.store.state.env} – jacdb`;
    this.store.touch();
  }

  /** Return a state that names a run that is there. */
  private complete(state: State): State {
    const { environments, runs } = this.index;
    if (!runs.length) throw new Error('This dataset has no finished run yet.');
    const env = environments.some(({ name }) => name === state.env) ? state.env : '';
    const known = runs.find((run) => run.env === state.env && run.run_id === state.run)
      ?? runs.find((run) => run.env === (env || runs[0].env))!;
    const isAsked = known.env === state.env && (!state.run || known.run_id === state.run);
    return { ...state, env: known.env, run: known.run_id, ...(isAsked ? {} : { entry: null, block: null }) };
  }
}
