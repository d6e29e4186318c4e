/** Loads what the state names, and shows it in all panes. */
import type { Index, RunFile } from './data/contract';
import { Database } from './data/database';
import { EpisodeReader, type Episode } from './data/episode';
import { address, fetchJson } from './data/files';
import { Occurrences } from './data/occurrences';
import { Patterns } from './data/patterns';
import { Shape } from './data/shape';
import { maskOf, ofRun } from './data/condition';
import { palette, type Palette } from './drawing/palette';
import { setText } from './page/dom';
import type { App, OpenRun, Pane, Shown } from './panes/pane';
import { notThere, ofIndex, ofShape } from './completion';
import { Store, type State } from './state';

const RUNS_KEPT = 4;
const LOADED = ['env', 'run', 'episode', 'where'] as const;

export class Explorer implements App {
  readonly store = new Store();
  readonly reader: EpisodeReader;
  readonly database: Database;
  colours: Palette = palette(false);
  shown: Shown | null = null;
  private readonly panes: Pane[] = [];
  private readonly runs = new Map<string, Promise<OpenRun>>();
  private loading = 0;
  private isLoading = false;
  /** why the condition is not used: it is said for as long as that is so */
  private trouble = '';
  /** as it was when something was last shown in whole */
  private former: State | null = null;

  constructor(readonly index: Index, private readonly status: HTMLElement, private readonly live: HTMLElement) {
    this.reader = new EpisodeReader(index);
    this.database = new Database(index);
    this.store.subscribe((changed) => this.changed(changed));
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

  private changed(changed: Set<keyof State>): void {
    if (LOADED.some((key) => changed.has(key))) {
      void this.load();
      return;
    }
    const { shown, store } = this;
    if (!shown) return;
    store.complete(ofIndex(store.state, this.index));
    const step = Math.min(store.state.step, shown.episode.steps - 1);
    if (!this.isLoading) {
      this.say(this.trouble); // what an address named in vain is read by now
      store.complete({ ...ofShape(store.state, shown.shape), step });
      this.former = store.state;
    }
    // while another episode loads, the state may name a step that the shown one has not
    for (const pane of this.panes) pane.update?.({ ...store.state, step }, changed);
  }

  /** Load what the state names. Only that is put into the state: what is chosen meanwhile stays. */
  private async load(): Promise<void> {
    const turn = ++this.loading;
    const { store } = this;
    this.isLoading = true;
    const named = store.state;
    try {
      store.complete(ofIndex(store.state, this.index));
      const { env, run: runId, episode: asked } = store.state;
      this.say(`Loading episode ${asked} of ${env} …`);
      const opened = await this.openRun(env, runId);
      const { run, file, patterns, shape } = opened;
      if (!file.episodes.length) throw new Error(`run ${runId} of ${env} has no episode: it is empty`);
      const number = file.episodes.some(({ episode }) => episode === asked) ? asked : file.episodes[0].episode;
      const episode = await this.reader.read(run, file, patterns, shape, number);
      if (turn !== this.loading) return;
      if (number !== asked && store.state.episode === asked) store.complete({ episode: number });
      await this.count(opened, episode, turn, notThere(named, { env, run: runId, episode: number }));
    } catch (error) {
      if (turn === this.loading) this.restore((error as Error).message);
    }
  }

  /** Name what is shown again, where what was asked for can't be loaded, and say why. */
  private restore(why: string): void {
    this.isLoading = false;
    if (this.former) {
      const { env, run, episode, where, step, entry, block } = this.former;
      this.store.complete({ env, run, episode, where, step, entry, block });
      this.show();
    }
    this.say(why);
  }

  /** Show an episode; under a condition, once its steps are known. A notice says what else was asked for. */
  private async count(opened: OpenRun, episode: Episode, turn: number, notice: string): Promise<void> {
    const { shape } = opened;
    const { where } = this.store.state;
    let mask: Uint8Array | null = null;
    let occurrences = Occurrences.ofRunFile(opened.file, opened.patterns);
    let trouble = '';
    if (where) {
      try {
        const tell = (text: string) => this.say(text);
        const met = await maskOf(this.database, opened, episode, where, tell);
        occurrences = await ofRun(this.database, opened, where, tell);
        mask = met;
      } catch (error) {
        trouble = `The condition is not used: ${(error as Error).message}`;
      }
    }
    if (turn !== this.loading) return;
    const zeroShare = occurrences.zeroShare(shape.rows * shape.cols);
    const here = Occurrences.ofEpisode(episode, mask);
    this.shown = { ...opened, episode, occurrences, here, zeroShare, mask };
    const step = Math.min(this.store.state.step, episode.steps - 1);
    this.store.complete({ ...ofShape(this.store.state, shape), step });
    this.isLoading = false;
    this.trouble = trouble;
    this.say([notice, trouble].filter(Boolean).join(' '));
    this.show();
  }

  private show(): void {
    this.former = this.store.state;
    for (const pane of this.panes) pane.show?.(this.shown!);
    document.title = `${this.store.state.env} – jacdb`;
    this.store.touch();
  }
}
