/** The episode along time: zeros of both Jacobians, what touches and holds, when the pattern switches. */
import { onResize, sharpPen } from '../../drawing/canvas';
import { SvgPen, type Pen } from '../../drawing/pen';
import { element, setText } from '../../page/dom';
import { short } from '../../page/format';
import { nextFrame } from '../../page/frame';
import { frameOf } from '../../page/paneFrame';
import type { State } from '../../state';
import { codeOf, episodeIs } from '../code';
import type { App, Pane, Shown } from '../pane';
import { constraintWords } from '../words';
import { lanesOf, type Lane } from './lanes';

const CURVE = 56; // height of the curves, in pixels
const LANE = 14;
const AXIS = 16;

export class TimelinePane implements Pane {
  readonly root: HTMLElement;
  private readonly plot = element('div', { class: 'plot' });
  private readonly canvas = element('canvas', { role: 'img' });
  private readonly head = element('div', { class: 'playhead' });
  private readonly words = element('span', { class: 'quiet holds' });
  private shown: Shown | null = null;
  private lanes: Lane[] = [];

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
    this.lanes = lanesOf(shown);
    this.canvas.setAttribute('aria-label', `Episode ${shown.episode.number}: ${this.lanes.map((lane) =>
      `${lane.name === '' ? '' : `${constraintWords(lane.name)} in ${lane.steps} of ${shown.episode.steps} steps`}`).join('; ')}`);
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

  private get left(): number {
    return this.plot.clientWidth < 600 ? 92 : 170;
  }

  private get width(): number {
    return Math.max(this.plot.clientWidth - this.left - 8, 10);
  }

  private get height(): number {
    return CURVE + 10 + LANE * this.lanes.length + LANE + AXIS;
  }

  private readonly draw = () => {
    if (!this.shown || this.plot.clientWidth < 50) return;
    this.head.style.height = `${this.height - AXIS}px`;
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
    const { episode, shape, mask } = this.shown!;
    const { left, width } = this;
    const x = (step: number) => left + (step / episode.steps) * width;
    const name = { size: 11, anchor: 'end' as const, fill: colours.ink };
    if (mask) spans(mask, (from, to) => pen.rect(x(from), 0, x(to) - x(from), this.height - AXIS, colours.zero));
    pen.line([left, CURVE + 2.5, left + width, CURVE + 2.5], colours.rule);
    pen.line([left, 4.5, left + width, 4.5], colours.rule, 1, [2, 3]);
    pen.text(left - 6, 9, 'all zero', { ...name, size: 9, fill: colours.muted });
    pen.text(left - 6, CURVE + 4, 'none', { ...name, size: 9, fill: colours.muted });
    const zeroName = (y: number, text: string, fill: string) => pen.text(left - 6, y, text, { ...name, fill });
    zeroName(26, left < 100 ? 'zeros, state' : 'zeros by state', colours.state);
    zeroName(41, left < 100 ? 'action' : 'by action', colours.action);
    const actions = shape.rows * (shape.cols - shape.dState);
    this.curve(pen, episode.rows.zeroAction, actions, colours.action, x);
    this.curve(pen, episode.rows.zeroState, shape.rows * shape.dState, colours.state, x);
    let y = CURVE + 10;
    pen.text(left - 6, y + 10, 'pattern switches', name);
    for (let step = 1; step < episode.steps; step++) {
      if (episode.pattern[step] !== episode.pattern[step - 1]) pen.line([x(step), y + 2, x(step), y + LANE - 2], colours.ink);
    }
    for (const lane of this.lanes) {
      y += LANE;
      pen.text(left - 6, y + 10, short(constraintWords(lane.name), left < 100 ? 15 : 29), name);
      pen.line([left, y + LANE / 2, left + width, y + LANE / 2], colours.rule, 0.5);
      const fill = lane.name.startsWith('contact:') ? colours.contact : colours.constraint;
      spans(lane.held, (from, to) => pen.rect(x(from), y + 3, Math.max(x(to) - x(from), 1), LANE - 6, fill));
    }
    y += LANE + 12;
    for (const step of ticks(episode.steps, width)) {
      pen.text(x(step), y, String(step), { size: 10, anchor: 'middle', fill: colours.muted });
    }
    pen.text(left - 6, y, 'step', { ...name, size: 10, fill: colours.muted });
  }

  /** Draw a share of zeros as steps; where a step is not finite the curve breaks. */
  private curve(pen: Pen, zeros: Int32Array, entries: number, stroke: string, x: (step: number) => number): void {
    if (!entries) return;
    let points: number[] = [];
    const end = () => {
      if (points.length) pen.line(points, stroke, 1.5);
      points = [];
    };
    zeros.forEach((n, step) => {
      if (n < 0) return end();
      const y = CURVE + 2 - (n / entries) * (CURVE - 3);
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
