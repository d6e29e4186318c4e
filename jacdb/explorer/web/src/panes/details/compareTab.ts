/** Two episodes side by side: of another policy, run or environment, with the difference of their matrices. */
import { element, fill, setText } from '../../page/dom';
import { number, percent } from '../../page/format';
import { toolsOf } from '../../page/paneFrame';
import { SvgPen } from '../../drawing/pen';
import { maskOf, ofRun } from '../../data/condition';
import { Occurrences } from '../../data/occurrences';
import type { Episode } from '../../data/episode';
import type { Colour, EpisodeName, State } from '../../state';
import { codeOf, episodeIs } from '../code';
import { logColouring, type Colouring } from '../heatmap/colouring';
import { Heatmap } from '../heatmap/heatmap';
import { Legend } from '../heatmap/legend';
import type { App, OpenRun, Shown } from '../pane';
import { nameOf, runWords } from '../words';
import type { Tab } from './detailsPane';

interface Other extends OpenRun {
  episode: Episode;
  /** in which share of which steps each entry is zero: here and there */
  shares: [Float64Array, Float64Array];
  scope: string;
}

const FEWEST = 1e-300; // a difference of nothing has a scale, too
const WHAT: Record<Colour, string> = { log: 'values at this step', zero: 'zeros at this step', share: 'share of zeros' };
const MEANING: Record<Colour, string> = {
  log: 'Blue: the shown one is less; orange: more; grey: equal.',
  zero: 'Blue: only the other is not zero; orange: only the shown one; grey: both or none.',
  share: 'Blue: the shown one is seldomer zero; orange: more often; grey: equally often.',
};

export class CompareTab implements Tab {
  readonly name = 'compare';
  readonly title = 'Compare';
  readonly root = element('div');
  private readonly env = element('select', { 'aria-label': 'Environment to compare with' });
  private readonly run = element('select', { 'aria-label': 'Run to compare with' });
  private readonly episode = element('select', { 'aria-label': 'Episode to compare with' });
  private readonly what = element('select', { 'aria-label': 'What is compared' });
  private readonly told = element('p', { role: 'status' });
  private readonly words = element('p', { class: 'quiet words' });
  private readonly theirs: Heatmap;
  private readonly difference: Heatmap;
  private readonly theirLegend = new Legend();
  private readonly differenceLegend = new Legend();
  private readonly both: HTMLElement;
  private shown: Shown | null = null;
  private other: Other | null = null;
  private asked = '';
  private log: Colouring = { mode: 'log', low: -6, high: 0 };
  private values = new Float64Array();
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
    fill(this.what, Object.entries(WHAT).map(([value, label]) => ({ value, label })), 'log');
    this.what.addEventListener('change', () => app.store.set({ colour: this.what.value as Colour }));
    this.env.addEventListener('change', () => this.ask({ env: this.env.value, run: '', episode: 0 }));
    this.run.addEventListener('change', () => this.ask({ env: this.env.value, run: this.run.value, episode: 0 }));
    this.episode.addEventListener('change', () => {
      this.ask({ env: this.env.value, run: this.run.value, episode: Number(this.episode.value) });
    });
    this.both = element('div', { class: 'compared' },
      element('div', { class: 'line' }, element('h4', {}, 'The shown one less the other'), ...toolsOf(app, 'difference', {
        svg: () => this.figure(),
        code: () => this.code(),
      })),
      this.difference.root, this.differenceLegend.root, this.words);
    this.root.append(
      element('p', { class: 'quiet' }, 'Compare what is shown with'),
      element('div', { class: 'pairs' }, this.env, this.run, this.episode, this.what),
      this.told, this.both, element('h4', {}, 'The other'), this.theirs.root, this.theirLegend.root);
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
      const counted = await this.counted(opened, episode);
      if (key !== this.asked) return;
      this.other = { ...opened, episode, ...counted };
      this.lay(named);
      this.draw(this.app.store.state);
    } catch (error) {
      if (key === this.asked) setText(this.told, (error as Error).message);
    }
  }

  /** Return shares of zeros of the shown and of another: of both runs or, within one run, of both episodes. */
  private async counted({ run, file, patterns, shape }: OpenRun, episode: Episode): Promise<Pick<Other, 'shares' | 'scope'>> {
    const shown = this.shown!;
    const where = shown.mask ? this.app.store.state.where : ''; // one that is wrong is not used
    const tell = (text: string) => setText(this.told, text);
    const isOneRun = run.env === shown.run.env && run.run_id === shown.run.run_id;
    const theirs = isOneRun ? Occurrences.ofEpisode(episode, where ? await maskOf(this.app.database, { run, file }, episode, where, tell) : null)
      : where ? await ofRun(this.app.database, { run, file, patterns }, where, tell)
      : Occurrences.ofRunFile(file, patterns);
    const mine = isOneRun ? shown.here : shown.occurrences;
    const of = (one: Occurrences, { rows, cols }: OpenRun['shape']) => one.zeroShare(rows * cols);
    return { shares: [of(mine, shown.shape), of(theirs, shape)], scope: theirs.scope };
  }

  private lay(named: EpisodeName): void {
    const { shape, file, episode } = this.other!;
    this.env.value = named.env;
    fill(this.run, this.app.index.runs.filter(({ env }) => env === named.env)
      .map((run) => ({ value: run.run_id, label: runWords(run) })), named.run);
    fill(this.episode, file.episodes.map((row) => ({ value: String(row.episode), label: `episode ${row.episode}` })), String(named.episode));
    const all = (n: number) => Array.from({ length: n }, (_, at) => at);
    this.theirs.show(shape, all(shape.rows), all(shape.cols));
    this.log = logColouring(episode.rows.values);
    const isAlike = this.isAlike;
    this.both.hidden = !isAlike;
    if (!isAlike) return;
    this.difference.show(shape, all(shape.rows), all(shape.cols));
    this.values = new Float64Array(episode.size);
    this.equal = new Uint8Array(episode.size);
  }

  /** What is compared: values, if both have them. */
  private mode({ colour }: State): Colour {
    return colour === 'log' && !(this.shown!.episode.rows.values && this.other!.episode.rows.values) ? 'zero' : colour;
  }

  private draw(state: State): void {
    const { shown, other } = this;
    this.what.value = state.colour;
    if (!shown || !other) return;
    const step = Math.min(state.step, other.episode.steps - 1);
    const mode = this.mode(state);
    const isShare = mode === 'share';
    const { size, rows } = other.episode;
    const colouring = { ...this.log, mode };
    this.theirs.draw({
      values: isShare ? other.shares[1] : rows.values, offset: isShare ? 0 : step * size, zeros: other.episode.zeros(step), colouring,
    });
    this.theirLegend.draw(colouring, this.app.colours);
    const name = `${other.run.env}, ${other.run.policy}, episode ${other.episode.number}: `
      + (isShare ? `share of ${other.scope} in which an entry is zero.` : `step ${step}.`);
    setText(this.told, this.isAlike ? name : `${name} Its axes are others: the matrices stand side by side, without a difference.`);
    if (this.isAlike) this.subtract(state, step, mode);
  }

  /** Draw the difference, on a scale of its own. */
  private subtract(state: State, step: number, mode: Colour): void {
    const [mine, theirs] = [this.reader(0, state.step, mode), this.reader(1, step, mode)];
    let most = mode === 'zero' ? 1 : FEWEST;
    for (let entry = 0; entry < this.values.length; entry++) {
      this.values[entry] = mine(entry) - theirs(entry);
      this.equal[entry] = this.values[entry] === 0 ? 1 : 0;
      if (Math.abs(this.values[entry]) > most) most = Math.abs(this.values[entry]);
    }
    const colouring: Colouring = mode === 'log' ? logColouring(this.values) : { mode: 'linear', low: 0, high: most };
    this.difference.draw({ values: this.values, offset: 0, zeros: this.equal, colouring });
    this.differenceLegend.draw(colouring, this.app.colours, 'equal');
    this.say(state);
  }

  /** Return what gives the number of an entry, NaN where it is not known: in the shown one, 0, or in the other, 1. */
  private reader(side: 0 | 1, step: number, mode: Colour): (entry: number) => number {
    const { episode } = side ? this.other! : this.shown!;
    if (mode === 'share') return (entry) => this.other!.shares[side][entry];
    if (mode === 'log') return (entry) => episode.value(step, entry);
    const zeros = episode.zeros(step);
    return (entry) => (zeros ? 1 - zeros[entry] : NaN);
  }

  private say(state: State): void {
    const { shown, other, entry } = this;
    if (!shown || !other || !this.isAlike) {
      setText(this.words, '');
      return;
    }
    const mode = this.mode(state);
    const at = entry >= 0 ? entry : state.entry ? shown.shape.place(state.entry.jacobian, state.entry.row, state.entry.col) : -1;
    if (at < 0) {
      setText(this.words, `${MEANING[mode]} Point at an entry for its numbers.`);
      return;
    }
    const step = Math.min(state.step, other.episode.steps - 1);
    const ofZero = (value: number) => (Number.isNaN(value) ? 'not known' : value ? 'not zero' : 'zero');
    const write = (value: number) => (mode === 'share' ? percent(value) : mode === 'log' ? number(value) : ofZero(value));
    const [mine, theirs] = [this.reader(0, state.step, mode)(at), this.reader(1, step, mode)(at)];
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
