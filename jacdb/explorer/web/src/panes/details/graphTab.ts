/** The causal graph: which body's next state depends on which body, and on which actions, in how many steps. */
import { onResize, sharpPen } from '../../drawing/canvas';
import { SvgPen } from '../../drawing/pen';
import { element, setText, table } from '../../page/dom';
import { percent } from '../../page/format';
import { nextFrame } from '../../page/frame';
import { toolsOf } from '../../page/paneFrame';
import type { State } from '../../state';
import { ZERO_THRESHOLD } from '../../data/patterns';
import { codeOf, literal } from '../code';
import type { App, Shown } from '../pane';
import type { Tab } from './detailsPane';
import { edgeAt, edgesOf, paintGraph, sharesAbove, type Edge } from './graph';

const HEIGHT = 320;

export class GraphTab implements Tab {
  readonly name = 'graph';
  readonly title = 'Graph';
  readonly root = element('div');
  private readonly canvas = element('canvas', { role: 'img', 'aria-label': 'Causal graph of bodies; the table below has its edges' });
  private readonly threshold: HTMLInputElement;
  private readonly least = element('input', { type: 'range', min: '0', max: '100', value: '0', 'aria-label': 'Least share of steps' });
  private readonly told = element('p', { class: 'quiet' });
  private readonly edges = element('div', { class: 'scrolled' });
  private readonly details = element('details', {}, element('summary', {}, 'The edges as a table'), this.edges);
  private shown: Shown | null = null;
  private found: Edge[] = [];
  private counted = '';

  constructor(private readonly app: App) {
    const { thresholds } = app.index;
    this.threshold = element('input', {
      type: 'range', min: '0', max: String(thresholds.length - 1), value: '0', 'aria-label': 'Threshold of zero',
    });
    this.threshold.addEventListener('input', () => app.store.set({ threshold: thresholds[Number(this.threshold.value)] }));
    this.least.addEventListener('input', () => this.refresh());
    this.details.addEventListener('toggle', () => this.list());
    this.canvas.addEventListener('click', (event) => {
      const edge = this.shown && edgeAt(this.found, this.shown.shape.bodies.length, event.offsetX, event.offsetY, this.width, HEIGHT);
      if (edge) app.store.set({ block: { row: edge.to, col: edge.from } });
    });
    this.root.append(
      element('div', { class: 'line' },
        element('label', {}, 'zero below ', this.threshold), element('label', {}, 'in at least ', this.least),
        ...toolsOf(app, 'graph', {
          svg: () => (this.shown ? this.figure(this.shown) : null),
          code: () => codeOf(`from causal_graph where env = ${literal(this.shown!.run.env)}`),
        })),
      this.told, this.canvas, this.details);
    onResize(this.root, () => nextFrame(this.draw));
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.counted = '';
  }

  update(state: State, changed: Set<keyof State>): void {
    if (!this.shown) return;
    const at = this.app.index.thresholds.indexOf(state.threshold);
    if (at >= 0) this.threshold.value = String(at);
    if (changed.has('threshold') || changed.has('block') || !this.counted) this.refresh();
  }

  repaint(): void {
    this.draw();
  }

  private get width(): number {
    return Math.max(this.root.clientWidth - 20, 200);
  }

  /** Count again, and say over which steps. */
  private refresh(): void {
    const shown = this.shown!;
    const { threshold } = this.app.store.state;
    const isStored = threshold === ZERO_THRESHOLD;
    const shares = isStored ? shown.zeroShare.map((share) => 1 - share) : sharesAbove(shown.episode, threshold);
    const least = Number(this.least.value) / 100;
    this.counted = `${threshold}`;
    this.found = shares ? edgesOf(shown.shape, shares).filter(({ share }) => share > 0 && share >= least) : [];
    const scope = isStored ? shown.occurrences.scope : "the episode's steps";
    setText(this.told, shares
      ? `Zero is below ${threshold.toExponential()}; an edge is there in ${least ? `at least ${percent(least)} of` : 'some of'} ${scope}. `
        + 'An arrow leads from what is depended on. Click one to see its block.'
      : 'This run has no matrices: only the stored threshold, 1e-12, can be asked.');
    this.draw();
    this.list();
  }

  private list(): void {
    if (!this.details.open || !this.shown) return;
    const { bodies } = this.shown.shape;
    this.edges.replaceChildren(table(['from', 'to the next state of', 'share of steps'],
      this.found.map(({ from, to, share }) => [bodies[from], bodies[to], percent(share)])));
  }

  private readonly draw = () => {
    if (!this.shown || this.root.hidden) return;
    const { block } = this.app.store.state;
    paintGraph(sharpPen(this.canvas, this.width, HEIGHT), this.shown.shape.bodies, this.found, block, this.width, HEIGHT, this.app.colours);
  };

  private figure(shown: Shown): SVGSVGElement {
    const pen = new SvgPen(this.width, HEIGHT, `Causal graph of ${shown.run.env}`);
    pen.rect(0, 0, this.width, HEIGHT, this.app.colours.panel);
    paintGraph(pen, shown.shape.bodies, this.found, null, this.width, HEIGHT, this.app.colours);
    return pen.svg;
  }
}
