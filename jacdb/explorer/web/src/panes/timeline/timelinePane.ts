/** The episode along time: zeros of both Jacobians, what touches and holds, when the pattern switches. */
import { onResize, sharpPen } from '../../drawing/canvas';
import { SvgPen, type Pen } from '../../drawing/pen';
import { element, setText } from '../../page/dom';
import { count, short } from '../../page/format';
import { nextFrame } from '../../page/frame';
import { frameOf } from '../../page/paneFrame';
import type { State } from '../../state';
import { codeOf, episodeIs } from '../code';
import type { App, Pane, Shown } from '../pane';
import { constraintWords } from '../words';
import { lanesOf, type Lane } from './lanes';

const CURVE = 48; // height of the curves, in pixels
const LANE = 14;
const AXIS = 16;
const NARROW = 600;
const LETTER = 6.1; // mean width of a letter at 11 pixels
const MOST_LETTERS = 40; // of a name beside a lane
const DASH = [4, 3];

export class TimelinePane implements Pane {
  readonly root: HTMLElement;
  private readonly plot = element('div', { class: 'plot' });
  private readonly canvas = element('canvas', { role: 'img' });
  private readonly head = element('div', { class: 'playhead' });
  private readonly words = element('span', { class: 'quiet holds' });
  private shown: Shown | null = null;
  private lanes: Lane[] = [];
  private few = ''; // said where not all constraints have a lane
  private names = 120; // width of the lanes' names

  constructor(private readonly app: App) {
    const frame = frameOf(app, 'timeline', 'Timeline', {
      svg: () => this.figure(),
      code: () => codeOf(`select * from sparsity_timeline where ${episodeIs(this.shown!)} order by step`),
    }, this.words);
    this.plot.append(this.canvas, this.head);
    frame.body.append(this.plot);
    this.root = frame.root;
    const go = (event: PointerEvent) => {
      if (!this.shown || event.buttons !== 1) return;
      const x = event.clientX - this.plot.getBoundingClientRect().left - this.left;
      const { steps } = this.shown.episode;
      const step = Math.floor((x / this.width) * steps);
      app.store.set({ step: Math.min(Math.max(step, 0), steps - 1) });
    };
    this.plot.addEventListener('pointerdown', go);
    this.plot.addEventListener('pointermove', go);
    onResize(this.plot, () => nextFrame(this.draw));
  }

  show(shown: Shown): void {
    this.shown = shown;
    const { lanes, constraints } = lanesOf(shown);
    this.lanes = lanes;
    this.few = lanes.length < constraints ? `${lanes.length} of ${constraints} constraints, those of most steps` : '';
    const letters = Math.max(...this.lanes.map(({ name }) => constraintWords(name).length), 18);
    this.names = Math.min(letters, MOST_LETTERS) * LETTER + 12;
    this.canvas.setAttribute('aria-label', `Episode ${shown.episode.number}: ${this.lanes.map((lane) =>
      `${lane.name === '' ? '' : `${constraintWords(lane.name)} in ${lane.steps} of ${count(shown.episode.steps, 'step')}`}`)
      .concat(this.few || []).join('; ')}`);
    this.draw();
    this.update(this.app.store.state);
  }

  update(state: State): void {
    if (!this.shown) return;
    const x = this.left + ((state.step + 0.5) / this.shown.episode.steps) * this.width;
    this.head.style.transform = `translateX(${x}px)`;
    const held = this.shown.episode.held(state.step);
    setText(this.words, held.length ? held.map(constraintWords).join(' · ') : 'nothing touches, sticks or is at its limit');
  }

  repaint(): void {
    this.draw();
  }

  /** Where the page is narrow, names stand over their lanes, and the plot takes its whole width. */
  private get isNarrow(): boolean {
    return this.plot.clientWidth < NARROW;
  }

  private get left(): number {
    return this.isNarrow ? 6 : this.names;
  }

  private get width(): number {
    return Math.max(this.plot.clientWidth - this.left - 8, 10);
  }

  /** How far apart lanes are. */
  private get lane(): number {
    return this.isNarrow ? LANE + 12 : LANE;
  }

  /** Where the curves begin. */
  private get top(): number {
    return AXIS + (this.isNarrow ? LANE : 0);
  }

  private get height(): number {
    return this.top + CURVE + 10 + this.lane * (this.lanes.length + 1) + (this.few ? LANE : 0) + 4;
  }

  private readonly draw = () => {
    if (!this.shown || this.plot.clientWidth < 50) return;
    this.head.style.height = `${this.height - AXIS}px`;
    this.head.style.top = `${AXIS}px`;
    this.paint(sharpPen(this.canvas, this.plot.clientWidth, this.height));
    this.update(this.app.store.state);
  };

  private figure(): SVGSVGElement {
    const pen = new SvgPen(this.plot.clientWidth, this.height, 'Timeline of the episode');
    pen.rect(0, 0, this.plot.clientWidth, this.height, this.app.colours.panel);
    this.paint(pen);
    return pen.svg;
  }

  private paint(pen: Pen): void {
    const { colours } = this.app;
    const { episode, mask } = this.shown!;
    const { left, width, lane, top } = this;
    const x = (step: number) => left + (step / episode.steps) * width;
    if (mask) spans(mask, (from, to) => pen.rect(x(from), AXIS, x(to) - x(from), this.height - AXIS, colours.band));
    this.paintSteps(pen, x);
    this.paintCurves(pen, x);
    let y = top + CURVE + 10;
    this.name(pen, y, 'pattern switches');
    const at = this.isNarrow ? 12 : 0;
    for (let step = 1; step < episode.steps; step++) {
      const [before, now] = [episode.pattern[step - 1], episode.pattern[step]];
      if (before >= 0 && now >= 0 && before !== now) pen.line([x(step), y + at + 2, x(step), y + at + LANE - 2], colours.ink);
    }
    for (const { name, held } of this.lanes) {
      y += lane;
      this.name(pen, y, constraintWords(name));
      pen.line([left, y + at + LANE / 2, left + width, y + at + LANE / 2], colours.rule, 0.5);
      const fill = name.startsWith('contact:') ? colours.contact : colours.constraint;
      spans(held, (from, to) => pen.rect(x(from), y + at + 3, Math.max(x(to) - x(from), 1), LANE - 6, fill));
    }
    if (this.few) pen.text(left, y + lane + 11, this.few, { size: 11, fill: colours.muted });
  }

  /** Write a lane's name: on its left, or over it. */
  private name(pen: Pen, y: number, text: string): void {
    const { ink } = this.app.colours;
    if (this.isNarrow) pen.text(this.left, y + 11, short(text, Math.floor(this.width / LETTER)), { size: 11, fill: ink });
    else pen.text(this.left - 6, y + 11, short(text, MOST_LETTERS), { size: 11, anchor: 'end', fill: ink });
  }

  private paintSteps(pen: Pen, x: (step: number) => number): void {
    const { steps } = this.shown!.episode;
    const style = { size: 10, fill: this.app.colours.muted };
    if (!this.isNarrow) pen.text(this.left - 6, 11, 'step', { ...style, anchor: 'end' });
    for (const step of ticks(steps, this.width)) {
      const text = this.isNarrow && !step ? 'step 0' : String(step);
      pen.text(x(step), 11, text, { ...style, anchor: step ? 'middle' : 'start' });
      pen.line([x(step), AXIS - 3, x(step), AXIS], this.app.colours.muted);
    }
  }

  /** Draw both shares of zeros, each with its name and a piece of its line. */
  private paintCurves(pen: Pen, x: (step: number) => number): void {
    const { colours } = this.app;
    const { episode, shape } = this.shown!;
    const { left, width, top } = this;
    pen.line([left, top + CURVE + 2.5, left + width, top + CURVE + 2.5], colours.rule);
    pen.line([left, top + 4.5, left + width, top + 4.5], colours.rule, 1, [2, 3]);
    const names = [['zeros by state', colours.state, []], ['by action', colours.action, DASH]] as const;
    if (this.isNarrow) {
      pen.text(left + width, top + 1, 'from none to all', { size: 10, anchor: 'end', fill: colours.muted });
      names.forEach(([text, stroke, dash], at) => {
        pen.line([left + 112 * at, top - 3, left + 112 * at + 18, top - 3], stroke, 1.5, [...dash]);
        pen.text(left + 112 * at + 22, top + 1, text, { size: 11, fill: stroke });
      });
    } else {
      const style = { size: 10, anchor: 'end' as const, fill: colours.muted };
      pen.text(left - 6, top + 9, 'all zero', style);
      pen.text(left - 6, top + CURVE + 6, 'none', style);
      names.forEach(([text, stroke, dash], at) => {
        const y = top + 23 + 13 * at;
        pen.line([left - 24, y - 4, left - 6, y - 4], stroke, 1.5, [...dash]);
        pen.text(left - 28, y, text, { size: 11, anchor: 'end', fill: stroke });
      });
    }
    const actions = shape.rows * (shape.cols - shape.dState);
    this.curve(pen, episode.rows.zeroState, shape.rows * shape.dState, colours.state, [], x);
    this.curve(pen, episode.rows.zeroAction, actions, colours.action, DASH, x);
  }

  /** Draw a share of zeros as steps; where a step tells no zeros the curve breaks. */
  private curve(pen: Pen, zeros: Int32Array, entries: number, stroke: string, dash: number[], x: (step: number) => number): void {
    if (!entries) return;
    let points: number[] = [];
    const end = () => {
      if (points.length) pen.line(points, stroke, 1.5, dash);
      points = [];
    };
    zeros.forEach((n, step) => {
      if (n < 0) return end();
      const y = this.top + CURVE + 2 - (n / entries) * (CURVE - 3);
      points.push(x(step), y, x(step + 1), y);
    });
    end();
  }
}

/** Call a function for each stretch of steps that are marked. */
function spans(held: Uint8Array, found: (from: number, to: number) => void): void {
  let from = -1;
  for (let step = 0; step <= held.length; step++) {
    if (step < held.length && held[step]) {
      if (from < 0) from = step;
    } else if (from >= 0) {
      found(from, step);
      from = -1;
    }
  }
}

function ticks(steps: number, width: number): number[] {
  const rough = steps / Math.max(width / 70, 1);
  const ten = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const apart = [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= rough) ?? ten * 10;
  return Array.from({ length: Math.ceil(steps / apart) }, (_, i) => i * apart);
}
