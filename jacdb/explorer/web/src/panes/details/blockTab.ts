/** The matrix as a table, block by block: for screen readers, and for reading numbers. */
import { button, element, fill, setText } from '../../page/dom';
import { number, percent } from '../../page/format';
import { toolsOf } from '../../page/paneFrame';
import type { State } from '../../state';
import { stepCode } from '../code';
import type { App, Shown } from '../pane';
import type { Tab } from './detailsPane';

const MOST = 40; // rows or columns of one table

export class BlockTab implements Tab {
  readonly name = 'block';
  readonly title = 'Table';
  readonly root = element('div');
  private readonly rows = element('select', { id: 'block-rows' });
  private readonly cols = element('select', { id: 'block-cols' });
  private readonly holder = element('div', { class: 'scrolled', tabindex: '0' });
  private readonly caption = element('p', { class: 'quiet' });
  private cells: HTMLElement[] = [];
  private shares: HTMLElement[] = [];
  private entries: number[] = [];
  private shown: Shown | null = null;
  private laid = '';

  constructor(private readonly app: App) {
    const choose = () => app.store.set({ block: { row: Number(this.rows.value), col: Number(this.cols.value) } });
    this.rows.addEventListener('change', choose);
    this.cols.addEventListener('change', choose);
    this.root.append(
      element('div', { class: 'choices' },
        element('label', { for: 'block-rows' }, 'next state of'), element('div', {}, this.rows),
        element('label', { for: 'block-cols' }, 'by state and action of'),
        element('div', {}, this.cols, ...toolsOf(app, 'block', { code: () => stepCode(this.shown!, app.store.state) }))),
      this.caption, this.holder);
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.laid = '';
    const { shape } = shown;
    const bodies = (of: number[]) => [...new Set(of)].map((at) => ({ value: String(at), label: shape.bodies[at] }));
    fill(this.rows, bodies(shape.rowBody), '');
    fill(this.cols, bodies(shape.colBody), '');
  }

  update(state: State): void {
    const { shown } = this;
    if (!shown) return;
    const { shape, episode, zeroShare } = shown;
    const row = state.block?.row ?? shape.rowBody[0];
    const col = state.block?.col ?? shape.colBody[0];
    this.rows.value = String(row);
    this.cols.value = String(col);
    const key = `${row},${col}`;
    if (key !== this.laid) this.lay(row, col);
    this.laid = key;
    setText(this.caption, `Values of step ${state.step}; below each, the share of ${shown.occurrences.scope} in which it is zero. Choose one for its history.`);
    const zeros = episode.zeros(state.step);
    this.entries.forEach((entry, at) => {
      const value = zeros?.[entry] ? '0' : episode.rows.values ? number(Number(episode.value(state.step, entry).toPrecision(4)))
        : zeros ? 'not 0' : 'not known';
      setText(this.cells[at], value);
      setText(this.shares[at], percent(zeroShare[entry]));
    });
  }

  private lay(rowBody: number, colBody: number): void {
    const { shape } = this.shown!;
    const of = (bodies: number[], body: number) => bodies.flatMap((one, at) => (one === body ? [at] : [])).slice(0, MOST);
    const [rows, cols] = [of(shape.rowBody, rowBody), of(shape.colBody, colBody)];
    this.entries = rows.flatMap((row) => cols.map((col) => shape.entry(row, col)));
    this.cells = this.entries.map((entry) => button('', () => this.app.store.set({ entry: shape.named(entry), pane: 'entry' }), { class: 'cell' }));
    this.shares = this.entries.map(() => element('small'));
    const tds = this.cells.map((cell, at) => element('td', { class: 'number' }, cell, this.shares[at]));
    const heads = cols.map((col) => element('th', { scope: 'col', class: 'number' }, shape.colAxes[col].name));
    this.holder.replaceChildren(element('table', {},
      element('thead', {}, element('tr', {}, element('td'), ...heads)),
      element('tbody', {}, ...rows.map((row, i) => element('tr', {},
        element('th', { scope: 'row' }, shape.rowAxes[row].name),
        ...tds.slice(i * cols.length, (i + 1) * cols.length))))));
  }
}
