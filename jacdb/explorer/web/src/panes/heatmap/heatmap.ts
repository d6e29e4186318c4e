/** A matrix as colours, on canvases: one for the cells, drawn often, and one for labels, drawn rarely. */
import { onResize, sharpContext, sharpPen } from '../../drawing/canvas';
import { css, type Palette } from '../../drawing/palette';
import type { Pen } from '../../drawing/pen';
import { element } from '../../page/dom';
import { nextFrame } from '../../page/frame';
import type { Shape } from '../../data/shape';
import { pixelOf, type Colouring } from './colouring';
import { cellAt, drawLabels, layoutOf, xOf, yOf, type Layout } from './layout';

export interface Cells {
  values: ArrayLike<number> | null;
  /** where the matrix begins among the values */
  offset: number;
  /** null where it is not known which entries are zero */
  zeros: Uint8Array | null;
  colouring: Colouring;
}

export interface Actions {
  hover(entry: number): void;
  choose(entry: number): void;
}

export class Heatmap {
  readonly root: HTMLElement;
  private readonly cells = element('canvas', { 'aria-hidden': 'true' });
  private readonly labels = element('canvas', { 'aria-hidden': 'true' });
  private readonly mark = element('div', { class: 'mark', hidden: true });
  private readonly chosenMark = element('div', { class: 'mark chosen', hidden: true });
  private readonly small = document.createElement('canvas');
  private context: CanvasRenderingContext2D | null = null;
  private image: ImageData | null = null;
  private pixels = new Uint32Array();
  private shape: Shape | null = null;
  private rows: number[] = [];
  private cols: number[] = [];
  private layout: Layout | null = null;
  private last: Cells | null = null;
  private cursor = -1;
  private chosen = -1;

  constructor(label: string, private colours: Palette, private readonly actions: Actions) {
    this.root = element('div', {
      class: 'heatmap', tabindex: '0', role: 'application', 'aria-roledescription': 'matrix', 'aria-label': label,
    }, this.cells, this.labels, this.mark, this.chosenMark);
    this.root.addEventListener('pointermove', (event) => this.hover(this.entryAt(event)));
    this.root.addEventListener('pointerleave', () => this.hover(-1));
    this.root.addEventListener('click', (event) => {
      const entry = this.entryAt(event);
      if (entry >= 0) this.actions.choose(entry);
    });
    this.root.addEventListener('keydown', (event) => this.key(event));
    onResize(this.root, () => nextFrame(this.arrange));
  }

  /** Show some rows and columns of a shape. */
  show(shape: Shape, rows: number[], cols: number[]): void {
    [this.shape, this.rows, this.cols, this.last] = [shape, rows, cols, null];
    this.image = new ImageData(cols.length, rows.length);
    this.pixels = new Uint32Array(this.image.data.buffer);
    [this.small.width, this.small.height] = [cols.length, rows.length];
    this.cursor = -1;
    this.arrange();
  }

  repaint(colours: Palette): void {
    this.colours = colours;
    this.arrange();
  }

  /** Draw the cells: called once a frame, it makes nothing new. */
  draw(cells: Cells): void {
    this.last = cells;
    const { context, image, layout, shape, colours, pixels } = this;
    if (!context || !image || !layout || !shape) return;
    const { values, offset, zeros, colouring } = cells;
    let at = 0;
    for (const row of this.rows) {
      for (const col of this.cols) {
        const entry = row * shape.cols + col;
        pixels[at++] = pixelOf(values ? values[offset + entry] : NaN, zeros ? zeros[entry] : null, colouring, colours);
      }
    }
    this.small.getContext('2d')!.putImageData(image, 0, 0);
    const { cell, split, left, top } = layout;
    const [n, height] = [this.cols.length, this.rows.length];
    context.clearRect(0, 0, layout.width, layout.height);
    context.imageSmoothingEnabled = false;
    if (split) context.drawImage(this.small, 0, 0, split, height, left, top, split * cell, height * cell);
    if (split < n) {
      const x = xOf(layout, split);
      context.drawImage(this.small, split, 0, n - split, height, x, top, (n - split) * cell, height * cell);
    }
  }

  /** Mark the entry that is chosen; -1 for none. */
  choose(entry: number): void {
    this.chosen = entry;
    this.place(this.chosenMark, entry);
  }

  /** Draw all as a figure. */
  figure(pen: Pen): void {
    const { layout, shape, last, colours } = this;
    if (!layout || !shape || !last) return;
    pen.rect(0, 0, layout.width, layout.height, colours.panel);
    const { cell, split, left, top } = layout;
    const height = this.rows.length * cell;
    const zero = css(colours.zeroPixel);
    if (split) pen.rect(left, top, split * cell, height, zero);
    if (split < this.cols.length) pen.rect(xOf(layout, split), top, (this.cols.length - split) * cell, height, zero);
    this.rows.forEach((row, i) => this.cols.forEach((col, j) => {
      const entry = shape.entry(row, col);
      const value = last.values ? last.values[last.offset + entry] : NaN;
      const colour = pixelOf(value, last.zeros ? last.zeros[entry] : null, last.colouring, colours);
      if (colour !== colours.zeroPixel) pen.rect(xOf(layout, j), yOf(layout, i), cell, cell, css(colour));
    }));
    drawLabels(pen, layout, shape, colours);
  }

  get size(): { width: number; height: number } {
    return { width: this.layout?.width ?? 1, height: this.layout?.height ?? 1 };
  }

  private readonly arrange = () => {
    const { shape } = this;
    const [width, height] = [this.root.clientWidth, this.root.clientHeight];
    if (!shape || width < 20 || height < 20) return;
    this.layout = layoutOf(shape, this.rows, this.cols, width, height);
    this.context = sharpContext(this.cells, width, height);
    drawLabels(sharpPen(this.labels, width, height), this.layout, shape, this.colours);
    if (this.last) this.draw(this.last);
    this.place(this.mark, this.cursor);
    this.place(this.chosenMark, this.chosen);
  };

  private place(mark: HTMLElement, entry: number): void {
    const { layout, shape } = this;
    const row = shape && entry >= 0 ? this.rows.indexOf(Math.floor(entry / shape.cols)) : -1;
    const col = shape && entry >= 0 ? this.cols.indexOf(entry % shape.cols) : -1;
    mark.hidden = !layout || row < 0 || col < 0;
    if (!layout || mark.hidden) return;
    mark.style.transform = `translate(${xOf(layout, col)}px, ${yOf(layout, row)}px)`;
    mark.style.width = mark.style.height = `${layout.cell}px`;
  }

  private entryAt(event: MouseEvent): number {
    const { layout, shape } = this;
    if (!layout || !shape) return -1;
    const box = this.root.getBoundingClientRect();
    const at = cellAt(layout, event.clientX - box.left, event.clientY - box.top);
    return at ? shape.entry(this.rows[at.row], this.cols[at.col]) : -1;
  }

  private hover(entry: number): void {
    if (entry === this.cursor) return;
    this.cursor = entry;
    this.place(this.mark, entry);
    this.actions.hover(entry);
  }

  private key(event: KeyboardEvent): void {
    const { shape } = this;
    const moves: Record<string, [number, number]> = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
    };
    const move = moves[event.key];
    if (!shape || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Enter' && this.cursor >= 0) this.actions.choose(this.cursor);
    else if (!move) return;
    else {
      const from = this.cursor >= 0 ? this.cursor : this.chosen;
      const row = from < 0 ? 0 : this.rows.indexOf(Math.floor(from / shape.cols)) + move[0];
      const col = from < 0 ? 0 : this.cols.indexOf(from % shape.cols) + move[1];
      const within = (at: number, n: number) => Math.min(Math.max(at, 0), n - 1);
      this.hover(shape.entry(this.rows[within(row, this.rows.length)], this.cols[within(col, this.cols.length)]));
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
