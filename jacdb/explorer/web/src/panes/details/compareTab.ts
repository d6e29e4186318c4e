/** Two episodes side by side: of another policy, run or environment, with the difference of their matrices. */
import { element, fill, setText } from '../../page/dom';
import { number, percent } from '../../page/format';
import { toolsOf } from '../../page/paneFrame';
import { SvgPen } from '../../drawing/pen';
import { Occurrences } from '../../data/occurrences';
import type { Episode } from '../../data/episode';
import type { EpisodeName, State } from '../../state';
import { codeOf, episodeIs } from '../code';
import { logColouring, type Colouring } from '../heatmap/colouring';
import { Heatmap } from '../heatmap/heatmap';
import type { App, OpenRun, Shown } from '../pane';
import { nameOf } from '../words';
import type { Tab } from './detailsPane';

interface Other extends OpenRun {
  episode: Episode;
  zeroShare: Float64Array;
  scope: string;
}

const FEWEST = 1e-300; // a difference of nothing has a scale, too

export class CompareTab implements Tab {
  readonly name = 'compare';
  readonly title = 'Compare';
  readonly root = element('div');
  private readonly env = element('select', { 'aria-label': 'Environment to compare with' });
  private readonly run = element('select', { 'aria-label': 'Run to compare with' });
  private readonly episode = element('select', { 'aria-label': 'Episode to compare with' });
  private readonly what = element('select', { 'aria-label': 'What is compared' });
  private readonly told = element('p', { role: 'status' });
  private readonly words = element('p', { class: 'quiet' });
  private readonly theirs: Heatmap;
  private readonly difference: Heatmap;
  private readonly differenceTitle = element('h4', {}, 'The shown one less the other');
  private shown: Shown | null = null;
  private other: Other | null = null;
  private asked = '';
  private log: Colouring = { mode: 'log', low: -6, high: 0 };
  private values = new Float64Array();
  private none = new Uint8Array(); // of a share, no entry is drawn as a zero
  private equal = new Uint8Array();
  private entry = -1;

  constructor(private readonly app: App) {
    const hover = (entry: number) => {
      this.entry = entry;
      this.say(app.store.state);
      app.hover(this.isAlike ? entry : -1);
    };
    const choose = (entry: number) => {
      if (this.isAlike) app.store.set({ entry: this.shown!.shape.named(entry) });
    };
    this.theirs = new Heatmap('The other Jacobian', app.colours, { hover, choose });
    this.difference = new Heatmap('Difference of both', app.colours, { hover, choose });
    fill(this.what, [{ value: 'step', label: 'at this step' }, { value: 'share', label: 'by share of zeros' }], 'step');
    this.what.addEventListener('change', () => this.draw(app.store.state));
    this.env.addEventListener('change', () => this.ask({ env: this.env.value, run: '', episode: 0 }));
    this.run.addEventListener('change', () => this.ask({ env: this.env.value, run: this.run.value, episode: 0 }));
    this.episode.addEventListener('change', () => {
      this.ask({ env: this.env.value, run: this.run.value, episode: Number(this.episode.value) });
    });
    this.root.append(
      element('p', { class: 'quiet' }, 'The matrix beside is one; choose the other:'),
      element('div', { class: 'line' }, this.env, this.run, this.episode, this.what, ...toolsOf(app, 'difference', {
        svg: () => this.figure(),
        code: () => this.code(),
      })),
      this.told, element('h4', {}, 'The other'), this.theirs.root, this.differenceTitle, this.difference.root, this.words);
    fill(this.env, app.index.environments.map(({ name }) => ({ value: name, label: name })), '');
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.asked = '';
  }

  update(state: State): void {
    if (!this.shown) return;
    const named = state.compare ?? this.usual(state);
    const key = JSON.stringify([named, state.env, state.run, state.episode]);
    if (key !== this.asked) {
      this.asked = key;
      void this.load(key, named);
    } else this.draw(state);
  }

  repaint(): void {
    this.theirs.repaint(this.app.colours);
    this.difference.repaint(this.app.colours);
    this.draw(this.app.store.state);
  }

  private get isAlike(): boolean {
    const [mine, other] = [this.shown?.shape, this.other?.shape];
    return Boolean(mine && other) && mine!.rows === other!.rows && mine!.cols === other!.cols
      && mine!.colAxes.every(({ name }, at) => name === other!.colAxes[at].name);
  }

  private ask(compare: EpisodeName): void {
    const known = this.app.index.runs.find(({ env, run_id: id }) => env === compare.env && (!compare.run || id === compare.run));
    if (known) this.app.store.set({ compare: { ...compare, run: known.run_id } });
  }

  /** Return another run of the environment, or else another episode of the run. */
  private usual({ env, run, episode }: State): EpisodeName {
    const other = this.app.index.runs.find((one) => one.env === env && one.run_id !== run);
    if (other) return { env, run: other.run_id, episode: 0 };
    const another = this.shown!.file.episodes.find((row) => row.episode !== episode);
    return { env, run, episode: another?.episode ?? episode };
  }

  private async load(key: string, named: EpisodeName): Promise<void> {
    setText(this.told, 'Loading the other episode …');
    this.other = null;
    try {
      const opened = await this.app.openRun(named.env, named.run);
      const { run, file, patterns, shape } = opened;
      const episode = await this.app.reader.read(run, file, patterns, shape, named.episode);
      if (key !== this.asked) return;
      const counted = Occurrences.ofEpisode(episode, "the episode's steps");
      this.other = { ...opened, episode, zeroShare: counted.zeroShare(shape.rows * shape.cols), scope: counted.scope };
      this.lay(named);
      this.draw(this.app.store.state);
    } catch (error) {
      if (key === this.asked) setText(this.told, (error as Error).message);
    }
  }

  private lay(named: EpisodeName): void {
    const { shape, file, episode } = this.other!;
    this.env.value = named.env;
    fill(this.run, this.app.index.runs.filter(({ env }) => env === named.env)
      .map((run) => ({ value: run.run_id, label: `${run.policy}, seed ${run.seed}` })), named.run);
    fill(this.episode, file.episodes.map((row) => ({ value: String(row.episode), label: `episode ${row.episode}` })), String(named.episode));
    const all = (n: number) => Array.from({ length: n }, (_, at) => at);
    this.theirs.show(shape, all(shape.rows), all(shape.cols));
    this.log = logColouring(episode.rows.values);
    this.none = new Uint8Array(episode.size);
    const isAlike = this.isAlike;
    this.difference.root.hidden = this.differenceTitle.hidden = !isAlike;
    if (!isAlike) return;
    this.difference.show(shape, all(shape.rows), all(shape.cols));
    this.values = new Float64Array(episode.size);
    this.equal = new Uint8Array(episode.size);
  }

  private draw(state: State): void {
    const { shown, other } = this;
    if (!shown || !other) return;
    const step = Math.min(state.step, other.episode.steps - 1);
    const byShare = this.what.value === 'share';
    const zeros = other.episode.zeros(step);
    const { size } = other.episode;
    if (byShare) this.theirs.draw({ values: other.zeroShare, offset: 0, zeros: this.none, colouring: { mode: 'linear', low: 0, high: 1 } });
    else {
      const colouring = state.colour === 'log' && other.episode.rows.values ? this.log : { ...this.log, mode: 'zero' as const };
      this.theirs.draw({ values: other.episode.rows.values, offset: step * size, zeros, colouring });
    }
    const name = `${other.run.env}, ${other.run.policy}, episode ${other.episode.number}, ${byShare ? `share of zeros in ${other.scope}` : `step ${step}`}`;
    if (!this.isAlike) {
      setText(this.told, `${name}. Its axes are others: the matrices stand side by side, without a difference.`);
      return;
    }
    setText(this.told, `${name}.`);
    let most = FEWEST;
    for (let entry = 0; entry < size; entry++) {
      this.values[entry] = byShare
        ? shown.zeroShare[entry] - other.zeroShare[entry]
        : shown.episode.value(state.step, entry) - other.episode.value(step, entry);
      this.equal[entry] = this.values[entry] === 0 ? 1 : 0;
      if (Math.abs(this.values[entry]) > most) most = Math.abs(this.values[entry]);
    }
    this.difference.draw({ values: this.values, offset: 0, zeros: this.equal, colouring: { mode: 'linear', low: 0, high: most } });
    this.say(state);
  }

  private say(state: State): void {
    const { shown, other, entry } = this;
    if (!shown || !other || !this.isAlike) {
      setText(this.words, '');
      return;
    }
    const at = entry >= 0 ? entry : state.entry ? shown.shape.place(state.entry.jacobian, state.entry.row, state.entry.col) : -1;
    if (at < 0) {
      setText(this.words, 'Blue: the shown one is less; orange: more; grey: equal. Point at an entry for its numbers.');
      return;
    }
    const step = Math.min(state.step, other.episode.steps - 1);
    const write = this.what.value === 'share' ? percent : number;
    const [mine, theirs] = this.what.value === 'share' ? [shown.zeroShare[at], other.zeroShare[at]]
      : [shown.episode.value(state.step, at), other.episode.value(step, at)];
    setText(this.words, `${nameOf(shown.shape, at)}: ${write(mine)} here, ${write(theirs)} there`);
  }

  private code() {
    const { shown, other } = this;
    if (!shown || !other) return [];
    const { step } = this.app.store.state;
    const of = (one: Shown | Other, at: number) => `select j_state, j_action from steps where ${episodeIs(one)} and step = ${at}`;
    return codeOf(`${of(shown, step)} union all ${of(other, Math.min(step, other.episode.steps - 1))}`);
  }

  private figure(): SVGSVGElement | null {
    if (!this.other || !this.isAlike) return null;
    const { width, height } = this.difference.size;
    const pen = new SvgPen(width, height, 'Difference of two Jacobians');
    this.difference.figure(pen);
    return pen.svg;
  }
}
