/** Where the cells of a heatmap are, and its labels. */
import type { Palette } from '../../drawing/palette';
import type { Pen } from '../../drawing/pen';
import { fitted, widthOf } from '../../drawing/measure';
import type { AxisGroup, Shape } from '../../data/shape';

export interface Layout {
  rows: number[];
  cols: number[];
  /** how many of `cols` are columns of j_state */
  split: number;
  cell: number;
  gap: number;
  /** where the title of the rows stands */
  start: number;
  left: number;
  top: number;
  width: number;
  height: number;
  /** whether each axis has its name, or each body */
  named: boolean;
}

const NAMED_CELL = 9; // pixels: below, names of axes would overlap
const LARGEST_CELL = 64;
const LARGEST_LETTER = 11; // pixels: the size of a label
const BODY_LETTER = 10;
const LONGEST = 18; // letters of a label
const WIDEST = 110; // pixels of a label
const TITLE = 15;

/** Return the layout of some rows and columns within a space. */
export function layoutOf(shape: Shape, rows: number[], cols: number[], width: number, height: number): Layout {
  const split = cols.filter((col) => col < shape.dState).length;
  const gap = split && split < cols.length ? 8 : 0;
  for (const named of [true, false]) {
    const size = named ? LARGEST_LETTER : BODY_LETTER;
    const space = (names: string[]) => Math.max(...names.map((name) => widthOf(label(name, size), size)), 3 * size / 2) + 8;
    const left = TITLE + space(named ? rows.map((row) => shape.rowAxes[row].name) : bodiesOf(shape, rows, shape.rowBody));
    const top = TITLE + space(named ? cols.map((col) => columnName(shape, col)) : bodiesOf(shape, cols, shape.colBody));
    const cell = Math.min((width - left - gap - 2) / cols.length, (height - top - 2) / rows.length, LARGEST_CELL);
    if (cell >= NAMED_CELL || !named) {
      const whole = Math.max(cell >= 3 ? Math.floor(cell * 2) / 2 : cell, 0.5);
      const start = Math.max(Math.floor((width - left - gap - 2 - whole * cols.length) / 2), 0);
      return { rows, cols, split, cell: whole, gap, start, left: start + left, top, width, height, named };
    }
  }
  throw new Error('no layout');
}

/** Return what is written of a name: as much as has a place beside the matrix. */
function label(name: string, size: number): string {
  return fitted(name, size, LONGEST, WIDEST);
}

/** Return a column's name; under the title of actions no name says so again. */
function columnName(shape: Shape, col: number): string {
  const { name } = shape.colAxes[col];
  return col < shape.dState ? name : name.replace(/(.)\.action$/, '$1');
}

function bodiesOf(shape: Shape, axes: number[], bodies: number[]): string[] {
  return [...new Set(axes.map((axis) => bodies[axis]))].map((body) => shape.bodies[body]);
}

export function xOf({ left, cell, split, gap }: Layout, at: number): number {
  return left + at * cell + (at >= split ? gap : 0);
}

export function yOf({ top, cell }: Layout, at: number): number {
  return top + at * cell;
}

/** Return places of the row and column under a point; null where there is none. */
export function cellAt(layout: Layout, x: number, y: number): { row: number; col: number } | null {
  const row = Math.floor((y - layout.top) / layout.cell);
  let col = Math.floor((x - layout.left) / layout.cell);
  if (col >= layout.split && layout.gap) {
    col = Math.floor((x - layout.left - layout.gap) / layout.cell);
    if (col < layout.split) return null;
  }
  const inside = row >= 0 && row < layout.rows.length && col >= 0 && col < layout.cols.length;
  return inside ? { row, col } : null;
}

/** Draw names, titles, frames, and lines between bodies. */
export function drawLabels(pen: Pen, layout: Layout, shape: Shape, colours: Palette): void {
  const { rows, cols, split, cell, left, top } = layout;
  const right = xOf(layout, cols.length - 1) + cell;
  const bottom = top + rows.length * cell;
  const title = { size: 11, fill: colours.muted, anchor: 'middle' as const };
  if (split) pen.text(left + (split * cell) / 2, TITLE - 4, '∂ state', title);
  if (split < cols.length) pen.text((xOf(layout, split) + right) / 2, TITLE - 4, '∂ action', title);
  pen.text(layout.start + TITLE - 4, (top + bottom) / 2, '∂ next state', { ...title, rotate: -90 });
  lines(pen, layout, shape, colours, right, bottom);
  if (layout.named) {
    const size = Math.min(cell, LARGEST_LETTER);
    rows.forEach((row, at) => pen.text(left - 4, yOf(layout, at) + cell / 2 + size * 0.36,
      label(shape.rowAxes[row].name, LARGEST_LETTER), { size, anchor: 'end', fill: colours.ink }));
    cols.forEach((col, at) => pen.text(xOf(layout, at) + cell / 2 + size * 0.36, top - 4,
      label(columnName(shape, col), LARGEST_LETTER), { size, fill: colours.ink, rotate: -90 }));
  } else bodyNames(pen, layout, shape, colours);
}

function bodyNames(pen: Pen, layout: Layout, shape: Shape, colours: Palette): void {
  const { cell, left, top } = layout;
  const style = { size: BODY_LETTER, fill: colours.ink };
  let last = -Infinity;
  for (const { start, end, body } of shown(shape.rowGroups, layout.rows)) {
    const middle = (yOf(layout, start) + yOf(layout, end - 1) + cell) / 2;
    if (middle - last < 10) continue;
    last = middle;
    pen.text(left - 4, middle + 3.6, label(shape.bodies[body], BODY_LETTER), { ...style, anchor: 'end' });
  }
  last = -Infinity;
  for (const { start, end, body } of shown(shape.colGroups, layout.cols)) {
    const middle = (xOf(layout, start) + xOf(layout, end - 1) + cell) / 2;
    if (middle - last < 10) continue;
    last = middle;
    pen.text(middle + 3.6, top - 4, label(shape.bodies[body], BODY_LETTER), { ...style, rotate: -90 });
  }
}

function lines(pen: Pen, layout: Layout, shape: Shape, colours: Palette, right: number, bottom: number): void {
  const { rows, cols, split, cell, left, top } = layout;
  const stateEnd = left + split * cell;
  const segments = [split ? [left, stateEnd] : [], split < cols.length ? [xOf(layout, split), right] : []];
  let kind = '';
  for (const group of shown(shape.rowGroups, rows)) {
    const y = yOf(layout, group.start);
    const stroke = kind && group.kind !== kind ? colours.muted : colours.rule;
    kind = group.kind;
    if (group.start) for (const [x0, x1] of segments) if (x1) pen.line([x0, y, x1, y], stroke);
  }
  kind = '';
  for (const group of shown(shape.colGroups, cols)) {
    const x = xOf(layout, group.start);
    const stroke = kind && group.kind !== kind ? colours.muted : colours.rule;
    kind = group.kind;
    if (group.start && group.start !== split) pen.line([x, top, x, bottom], stroke);
  }
  for (const [x0, x1] of segments) if (x1) pen.rect(x0, top, x1 - x0, bottom - top, 'none', colours.muted);
}

/** Return groups as they stand among the axes that are shown. */
function shown(groups: AxisGroup[], axes: number[]): AxisGroup[] {
  const found: AxisGroup[] = [];
  for (const group of groups) {
    const places = axes.map((axis, at) => (axis >= group.start && axis < group.end ? at : -1)).filter((at) => at >= 0);
    if (places.length) found.push({ ...group, start: places[0], end: places.at(-1)! + 1 });
  }
  return found;
}
