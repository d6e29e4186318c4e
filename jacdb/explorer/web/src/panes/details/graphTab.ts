/** The causal graph: which body's next state depends on which bodies and on which actions, in how many steps. */
import { onResize, sharpPen } from '../../drawing/canvas';
import { SvgPen } from '../../drawing/pen';
import { element, Figure, setText, table } from '../../page/dom';
import { percent } from '../../page/format';
import { nextFrame } from '../../page/frame';
import { toolsOf } from '../../page/paneFrame';
import type { State } from '../../state';
import { ZERO_THRESHOLD } from '../../data/patterns';
import { viewCode } from '../code';
import type { App, Shown } from '../pane';
import type { Tab } from './detailsPane';
import { edgeAt, edgesOf, nodeAt, nodesOf, paintGraph, sharesAbove, type Edge, type GraphNode, type GraphView } from './graph';

const LOWEST = 260; // pixels
const HIGHEST = 620;

export class GraphTab implements Tab {
  readonly name = 'graph';
  readonly title = 'Graph';
  readonly root = element('div');
  private readonly canvas = element('canvas', { role: 'img', 'aria-label': 'Causal graph of bodies and actions; the table below has its edges' });
  private readonly holder = element('div', { class: 'graph' }, this.canvas);
  private readonly threshold: HTMLInputElement;
  private readonly thresholdText = element('output');
  private readonly least = element('input', { type: 'range', min: '0', max: '100', step: '5', value: '0', id: 'graph-least' });
  private readonly leastText = element('output');
  private readonly told = element('p', { class: 'quiet' });
  private readonly edges = element('div', { class: 'scrolled' });
  private readonly details = element('details', {}, element('summary', {}, 'The edges as a table'), this.edges);
  private shown: Shown | null = null;
  private nodes: GraphNode[] = [];
  private found: Edge[] = [];
  private focus = -1;
  private isCounted = false;

  constructor(private readonly app: App) {
    const { thresholds } = app.index;
    this.threshold = element('input', { type: 'range', min: '0', max: String(thresholds.length - 1), value: '0', id: 'graph-threshold' });
    this.threshold.addEventListener('input', () => app.store.set({ threshold: thresholds[Number(this.threshold.value)] }));
    this.least.addEventListener('input', () => app.store.set({ least: Number(this.least.value) }));
    this.details.addEventListener('toggle', () => this.list());
    this.canvas.addEventListener('click', (event) => this.click(event));
    this.canvas.addEventListener('pointermove', (event) => this.look(nodeAt(this.view(), event.offsetX, event.offsetY)));
    this.canvas.addEventListener('pointerleave', () => this.look(-1));
    this.root.append(
      element('div', { class: 'line' }, element('h3', {}, 'What depends on what'), ...toolsOf(app, 'graph', {
        svg: () => (this.shown ? this.figure(this.shown) : null),
        code: () => viewCode(app.index, 'causal_graph', this.shown!, app.store.state.where),
      })),
      element('div', { class: 'choices' },
        element('label', { for: 'graph-threshold' }, 'zero is below'), element('div', {}, this.threshold, this.thresholdText),
        element('label', { for: 'graph-least' }, 'in at least'), element('div', {}, this.least, this.leastText)),
      this.told, this.holder, this.details);
    onResize(this.holder, () => nextFrame(this.draw));
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.nodes = nodesOf(shown.shape);
    this.focus = -1;
    this.isCounted = false;
  }

  update(state: State, changed: Set<keyof State>): void {
    if (!this.shown) return;
    const at = this.app.index.thresholds.indexOf(state.threshold);
    if (at >= 0) this.threshold.value = String(at);
    this.least.value = String(state.least);
    setText(this.thresholdText, state.threshold.toExponential());
    setText(this.leastText, state.least ? `${state.least} %` : 'a step');
    if (changed.has('threshold') || changed.has('least') || !this.isCounted) this.count(state);
    else if (changed.has('block')) this.draw();
  }

  repaint(): void {
    this.draw();
  }

  private view(block = this.app.store.state.block): GraphView {
    const [width, height] = [Math.max(this.holder.clientWidth, 200), Math.min(Math.max(this.holder.clientHeight, LOWEST), HIGHEST)];
    return { nodes: this.nodes, edges: this.found, block, focus: this.focus, width, height };
  }

  /** Count again, and say over which steps. */
  private count({ threshold, least }: State): void {
    const shown = this.shown!;
    const isStored = threshold === ZERO_THRESHOLD;
    const shares = isStored ? shown.zeroShare.map((share) => 1 - share) : sharesAbove(shown.episode, threshold, shown.mask);
    this.isCounted = true;
    this.found = shares ? edgesOf(shown.shape, this.nodes, shares).filter(({ share }) => share > 0 && share >= least / 100) : [];
    const counted = isStored ? shown.occurrences : shown.here;
    setText(this.told, shares && !counted.steps ? counted.none : shares
      ? `Discs: bodies; squares: actions. An arrow leads to what depends, in ${least ? `at least ${least} %` : 'some'} of ${counted.scope}. Click one for its block.`
      : 'This run has no matrices: only the stored threshold, 1e-12, can be asked.');
    this.draw();
    this.list();
  }

  private click({ offsetX, offsetY }: MouseEvent): void {
    const node = nodeAt(this.view(), offsetX, offsetY);
    if (node >= 0) return this.look(node);
    const edge = edgeAt(this.view(), offsetX, offsetY);
    if (edge) this.app.store.set({ block: { row: this.nodes[edge.to].body, col: this.nodes[edge.from].body } });
  }

  /** Let one node's edges stand out. */
  private look(node: number): void {
    if (node === this.focus) return;
    this.focus = node;
    this.canvas.style.cursor = node >= 0 ? 'default' : 'pointer';
    nextFrame(this.draw);
  }

  private list(): void {
    if (!this.details.open || !this.shown) return;
    this.edges.replaceChildren(table(['from', 'to the next state of', 'share of steps'],
      this.found.map(({ from, to, share }) => [this.nodes[from].name, this.nodes[to].name, new Figure(percent(share))])));
  }

  private readonly draw = () => {
    if (!this.shown || this.root.hidden) return;
    const view = this.view();
    paintGraph(sharpPen(this.canvas, view.width, view.height), view, this.app.colours);
  };

  private figure(shown: Shown): SVGSVGElement {
    const view = { ...this.view(null), focus: -1 };
    const pen = new SvgPen(view.width, view.height, `Causal graph of ${shown.run.env}`);
    paintGraph(pen, view, this.app.colours);
    return pen.svg;
  }
}
