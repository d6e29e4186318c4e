/** The Jacobian of the step: heatmap, legend, and the entry under the pointer in words. */
import { SvgPen } from '../../drawing/pen';
import { sharpPen } from '../../drawing/canvas';
import { css } from '../../drawing/palette';
import { button, element, setText } from '../../page/dom';
import { frameOf } from '../../page/paneFrame';
import { count } from '../../page/format';
import type { State } from '../../state';
import type { App, Pane, Shown } from '../pane';
import { stepCode } from '../code';
import { describe } from '../words';
import { logColouring, type Colouring } from './colouring';
import { Heatmap } from './heatmap';

export class JacobianPane implements Pane {
  readonly root: HTMLElement;
  private readonly heatmap: Heatmap;
  private readonly words = element('p', { class: 'words' });
  private readonly zeros = element('p', { class: 'words quiet' });
  private readonly legend = element('canvas', { class: 'legend', 'aria-hidden': 'true' });
  private readonly colour: HTMLButtonElement;
  private readonly whole: HTMLButtonElement;
  private shown: Shown | null = null;
  private log: Colouring = { mode: 'log', low: -6, high: 0 };
  private block = '';
  private entry = -1;

  constructor(private readonly app: App) {
    this.heatmap = new Heatmap('Jacobian of the step', app.colours, {
      hover: (entry) => app.hover(entry),
      choose: (entry) => app.store.set({ entry: this.shown!.shape.named(entry), pane: 'entry' }),
    });
    this.colour = button('Zeros', () => {
      app.store.set({ colour: app.store.state.colour === 'log' ? 'zero' : 'log' });
    }, { 'aria-pressed': 'false', title: 'Show only which entries are zero' });
    this.whole = button('Whole matrix', () => app.store.set({ block: null }), { hidden: true });
    const frame = frameOf(app, 'jacobian', 'Jacobian', {
      svg: () => this.figure(),
      code: () => stepCode(this.shown!, app.store.state),
    }, this.whole, this.colour);
    frame.body.append(this.heatmap.root, this.legend, this.words, this.zeros);
    this.root = frame.root;
  }

  show(shown: Shown): void {
    const isOther = shown.episode !== this.shown?.episode;
    this.shown = shown;
    if (isOther) {
      this.log = logColouring(shown.episode.rows.values);
      this.block = '?';
    }
    this.update(this.app.store.state);
  }

  update(state: State): void {
    const { shown } = this;
    if (!shown) return;
    this.arrange(state, shown);
    const colouring = this.colouring(state);
    const { episode } = shown;
    const zeros = episode.zeros(state.step);
    this.heatmap.draw({ values: episode.rows.values, offset: state.step * episode.size, zeros, colouring });
    const { entry } = state;
    this.heatmap.choose(entry ? shown.shape.place(entry.jacobian, entry.row, entry.col) : -1);
    this.colour.setAttribute('aria-pressed', String(state.colour === 'zero'));
    this.drawLegend(colouring);
    this.say(state);
  }

  hovered(entry: number): void {
    this.entry = entry;
    const { shown } = this;
    if (!shown) return;
    this.say(this.app.store.state);
    if (entry >= 0 && document.activeElement === this.heatmap.root) {
      this.app.announce(describe(shown, this.app.store.state.step, entry));
    }
  }

  repaint(): void {
    this.heatmap.repaint(this.app.colours);
    if (this.shown) this.update(this.app.store.state);
  }

  private colouring(state: State): Colouring {
    return state.colour === 'log' && this.shown!.episode.rows.values ? this.log : { ...this.log, mode: 'zero' };
  }

  private arrange(state: State, { shape }: Shown): void {
    const key = JSON.stringify(state.block);
    if (key === this.block) return;
    this.block = key;
    const all = (n: number) => Array.from({ length: n }, (_, at) => at);
    const { block } = state;
    const rows = all(shape.rows).filter((row) => !block || shape.rowBody[row] === block.row);
    const cols = all(shape.cols).filter((col) => !block || shape.colBody[col] === block.col);
    const isBlock = block !== null && rows.length > 0 && cols.length > 0;
    this.heatmap.show(shape, isBlock ? rows : all(shape.rows), isBlock ? cols : all(shape.cols));
    this.whole.hidden = !isBlock;
  }

  private say(state: State): void {
    const shown = this.shown!;
    const { episode, shape } = shown;
    const chosen = state.entry ? shape.place(state.entry.jacobian, state.entry.row, state.entry.col) : -1;
    const entry = this.entry >= 0 ? this.entry : chosen;
    setText(this.words, entry >= 0 ? describe(shown, state.step, entry)
      : 'Point at an entry, or move the cursor with the arrow keys. Click or press Enter for its history.');
    if (!episode.rows.values) {
      setText(this.zeros, 'This run has no matrices: only the zeros of its patterns are shown.');
      return;
    }
    if (!episode.rows.finite[state.step]) {
      setText(this.zeros, 'This step is not finite (NaN or infinity): it counts in no statistic.');
      return;
    }
    const zeros = episode.zeros(state.step);
    let [inState, inAction] = [0, 0];
    for (let at = 0; at < episode.size; at++) {
      if (at % shape.cols < shape.dState) inState += zeros[at];
      else inAction += zeros[at];
    }
    setText(this.zeros, `${count(inState, 'zero')} of ${shape.rows * shape.dState} by state; `
      + `${inAction} of ${shape.rows * (shape.cols - shape.dState)} by action`);
  }

  private drawLegend(colouring: Colouring): void {
    const { colours } = this.app;
    const key = `${colouring.mode} ${colouring.low} ${colouring.high} ${colours.dark}`;
    if (this.legend.dataset.drawn === key) return;
    this.legend.dataset.drawn = key;
    const pen = sharpPen(this.legend, 300, 26);
    const text = { size: 10, fill: colours.muted, anchor: 'middle' as const };
    if (colouring.mode === 'zero') {
      pen.rect(0, 2, 14, 10, css(colours.nonZeroPixel));
      pen.text(20, 11, 'not zero', { ...text, anchor: 'start' });
      pen.rect(90, 2, 14, 10, css(colours.zeroPixel), colours.rule);
      pen.text(110, 11, 'zero (below 1e-12)', { ...text, anchor: 'start' });
      return;
    }
    for (let i = 0; i < 120; i++) {
      pen.rect(10 + i, 2, 1.2, 10, css(colours.negative[255 - Math.round((i / 119) * 255)]));
      pen.rect(170 + i, 2, 1.2, 10, css(colours.positive[Math.round((i / 119) * 255)]));
    }
    pen.rect(143, 2, 14, 10, css(colours.zeroPixel), colours.rule);
    const power = (sign: string, exponent: number) => `${sign}1e${exponent}`;
    pen.text(14, 23, power('−', colouring.high), text);
    pen.text(132, 23, power('−', colouring.low), { ...text, anchor: 'end' });
    pen.text(150, 23, 'zero', text);
    pen.text(168, 23, power('', colouring.low), { ...text, anchor: 'start' });
    pen.text(286, 23, power('', colouring.high), text);
  }

  private figure(): SVGSVGElement {
    const { width, height } = this.heatmap.size;
    const pen = new SvgPen(width, height, 'Jacobian of the step');
    this.heatmap.figure(pen);
    return pen.svg;
  }
}
