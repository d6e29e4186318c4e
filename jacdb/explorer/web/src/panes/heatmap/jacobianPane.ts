/** The Jacobian of the step: heatmap, legend, and the entry under the pointer in words. */
import { SvgPen } from '../../drawing/pen';
import { button, element, fill, setText } from '../../page/dom';
import { frameOf } from '../../page/paneFrame';
import { COLOURS, type Colour, type State } from '../../state';
import type { App, Pane, Shown } from '../pane';
import { stepCode } from '../code';
import { describe } from '../words';
import { logColouring, type Colouring } from './colouring';
import { Heatmap } from './heatmap';
import { Legend } from './legend';

const COLOUR_NAMES: Record<Colour, string> = { log: 'Values', zero: 'Zeros', share: 'Share of zeros' };

export class JacobianPane implements Pane {
  readonly root: HTMLElement;
  private readonly heatmap: Heatmap;
  private readonly words = element('span', {});
  private readonly zeros = element('p', { class: 'words quiet' });
  private readonly legend = new Legend();
  private readonly colour = element('select', { 'aria-label': 'What the matrix shows' });
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
    fill(this.colour, COLOURS.map((value) => ({ value, label: COLOUR_NAMES[value] })), 'log');
    this.colour.addEventListener('change', () => app.store.set({ colour: this.colour.value as Colour }));
    this.whole = button('Whole matrix', () => app.store.set({ block: null }), { hidden: true });
    const frame = frameOf(app, 'jacobian', 'Jacobian', {
      svg: () => this.figure(),
      code: () => stepCode(this.shown!, app.store.state),
    }, this.whole, this.colour);
    frame.body.append(this.heatmap.root, this.legend.root, element('p', { class: 'words' }, this.words), this.zeros);
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
    const isShare = colouring.mode === 'share';
    this.heatmap.draw({
      values: isShare ? shown.zeroShare : episode.rows.values, offset: isShare ? 0 : state.step * episode.size, zeros, colouring,
    });
    const { entry } = state;
    this.heatmap.choose(entry ? shown.shape.place(entry.jacobian, entry.row, entry.col) : -1);
    this.colour.value = state.colour;
    this.legend.draw(colouring, this.app.colours);
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
    if (state.colour === 'log') return this.shown!.episode.rows.values ? this.log : { ...this.log, mode: 'zero' };
    return { ...this.log, mode: state.colour };
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
    this.words.scrollTop = this.words.scrollHeight; // where names are too long to be seen whole, the value is
    if (!episode.rows.finite[state.step]) {
      setText(this.zeros, 'This step is not finite (NaN or infinity): it counts in no statistic.');
      return;
    }
    if (!episode.rows.exact[state.step]) {
      setText(this.zeros, 'This step is by finite differences, which tell no zeros: it counts in no statistic of them.');
      return;
    }
    const zeros = episode.zeros(state.step);
    if (!episode.rows.values || !zeros) {
      setText(this.zeros, 'This run has no matrices: only the zeros of its patterns are shown.');
      return;
    }
    let [inState, inAction] = [0, 0];
    for (let at = 0; at < episode.size; at++) {
      if (at % shape.cols < shape.dState) inState += zeros[at];
      else inAction += zeros[at];
    }
    const [ofState, ofAction] = [shape.rows * shape.dState, shape.rows * (shape.cols - shape.dState)];
    setText(this.zeros, `Zero in this step: ${inState} of ${ofState} by state${ofAction ? `, ${inAction} of ${ofAction} by action` : ''}`);
  }

  private figure(): SVGSVGElement {
    const { width, height } = this.heatmap.size;
    const pen = new SvgPen(width, height, 'Jacobian of the step');
    this.heatmap.figure(pen);
    return pen.svg;
  }
}
