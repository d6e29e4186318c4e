/** What is chosen above the panes, and what moves through time below them. */
import type { Explorer } from '../app';
import { button, element, fill, setText } from './dom';
import { count } from './format';
import type { Pane, Shown } from '../panes/pane';
import { runWords } from '../panes/words';
import type { State } from '../state';

const RATE = 20; // steps a second, where the control rate is not known

/** Environment, run and episode. */
export class Chooser implements Pane {
  readonly root: HTMLElement;
  private readonly env = element('select', { id: 'choose-env' });
  private readonly run = element('select', { id: 'choose-run' });
  private readonly episode = element('select', { id: 'choose-episode' });

  constructor(private readonly app: Explorer) {
    const fresh = { entry: null, block: null, step: 0 };
    this.env.addEventListener('change', () => app.store.set({ ...fresh, env: this.env.value, run: '', episode: 0 }));
    this.run.addEventListener('change', () => app.store.set({ run: this.run.value, episode: 0, step: 0 }));
    this.episode.addEventListener('change', () => app.store.set({ episode: Number(this.episode.value), step: 0 }));
    fill(this.env, app.index.environments.map(({ name }) => ({ value: name, label: name })), app.store.state.env);
    const labelled = (label: string, select: HTMLSelectElement) =>
      element('label', { for: select.id }, element('span', {}, label), select);
    this.root = element('div', { class: 'chooser' },
      labelled('Environment', this.env), labelled('Run', this.run), labelled('Episode', this.episode));
  }

  show({ run, file, episode }: Shown): void {
    const runs = this.app.index.runs.filter(({ env }) => env === run.env);
    this.env.value = run.env;
    fill(this.run, runs.map((one) => ({ value: one.run_id, label: runWords(one) })), run.run_id);
    fill(this.episode, file.episodes.map((row) => ({
      value: String(row.episode),
      label: `${row.episode}: ${count(row.n_steps, 'step')}${row.n_contact_steps ? `, ${row.n_contact_steps} in contact` : ''}`,
    })), String(episode.number));
  }
}

/** Scrubber, play, and the number of the step. */
export class Player implements Pane {
  readonly root: HTMLElement;
  private readonly slider = element('input', { type: 'range', min: '0', max: '0', value: '0', 'aria-label': 'Step' });
  private readonly playing: HTMLButtonElement;
  private readonly words = element('output', { class: 'step' });
  private shown: Shown | null = null;
  private since = 0;
  private start = 0;
  private request = 0;

  constructor(private readonly app: Explorer) {
    this.playing = button('Play', () => this.toggle(), { class: 'play', 'aria-keyshortcuts': 'Space' });
    this.slider.addEventListener('input', () => {
      this.pause();
      app.store.set({ step: Number(this.slider.value) });
    });
    this.root = element('div', { class: 'player' },
      this.playing, button('‹', () => this.move(-1), { 'aria-label': 'Step back' }), this.slider,
      button('›', () => this.move(1), { 'aria-label': 'Step on' }), this.words);
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.pause();
    this.slider.max = String(shown.episode.steps - 1);
    this.update(this.app.store.state);
  }

  update({ step }: State): void {
    if (!this.shown) return;
    if (this.slider.value !== String(step)) this.slider.value = String(step);
    const { ctrl_dt: dt } = this.shown.run;
    const last = this.shown.episode.steps - 1;
    setText(this.words, `step ${step} of ${last}${dt ? `, ${(step * dt).toFixed(2)} s` : ''}`);
  }

  /** Go some steps on or back. */
  move(steps: number): void {
    this.pause();
    this.go(this.app.store.state.step + steps);
  }

  go(step: number): void {
    const last = (this.shown?.episode.steps ?? 1) - 1;
    this.app.store.set({ step: Math.min(Math.max(step, 0), last) });
  }

  toggle(): void {
    if (this.request) this.pause();
    else if (this.shown) {
      const { step } = this.app.store.state;
      this.start = step >= this.shown.episode.steps - 1 ? 0 : step;
      this.since = performance.now();
      setText(this.playing, 'Pause');
      this.request = requestAnimationFrame(this.tick);
    }
  }

  private pause(): void {
    cancelAnimationFrame(this.request);
    this.request = 0;
    setText(this.playing, 'Play');
  }

  private readonly tick = (now: number) => {
    const { episode, run } = this.shown!;
    const rate = run.ctrl_dt ? 1 / run.ctrl_dt : RATE;
    const step = this.start + Math.max(0, Math.floor(((now - this.since) / 1000) * rate));
    if (step >= episode.steps - 1) {
      this.pause();
      this.go(episode.steps - 1);
      return;
    }
    this.app.store.set({ step });
    this.request = requestAnimationFrame(this.tick);
  };
}
