/** The shape of a Jacobian: its axes, and which of them belong to one body. */
import type { Axis, Environment } from './contract';

/** Neighbouring axes of one body and one kind of quantity. */
export interface AxisGroup {
  start: number;
  end: number;
  body: number;
  kind: 'position' | 'velocity' | 'other' | 'action';
}

export type Jacobian = 'state' | 'action';

/** Rows are tangent axes; columns are tangent axes, then actions. */
export class Shape {
  readonly rows: number;
  readonly cols: number;
  readonly dState: number;
  readonly rowAxes: Axis[];
  readonly colAxes: Axis[];
  readonly bodies: string[] = [];
  readonly rowBody: number[];
  readonly colBody: number[];
  readonly rowGroups: AxisGroup[];
  readonly colGroups: AxisGroup[];

  constructor(readonly env: Environment) {
    const { tangent, action } = env.axes;
    this.dState = env.d_state;
    this.rows = env.d_state;
    this.cols = env.d_state + env.d_action;
    this.rowAxes = filled(tangent, env.d_state, 'x');
    this.colAxes = [...this.rowAxes, ...filled(action, env.d_action, 'u')];
    const place = (axis: Axis) => {
      const name = bodyOf(axis);
      const at = this.bodies.indexOf(name);
      return at >= 0 ? at : this.bodies.push(name) - 1;
    };
    this.rowBody = this.rowAxes.map(place);
    this.colBody = this.colAxes.map(place);
    this.rowGroups = groups(this.rowAxes, this.rowBody, this.dState);
    this.colGroups = groups(this.colAxes, this.colBody, this.dState);
  }

  /** Return the place of an entry among all, row by row. */
  entry(row: number, col: number): number {
    return row * this.cols + col;
  }

  /** Return the place of an entry of one Jacobian; -1 where it has none there. */
  place(jacobian: Jacobian, row: number, col: number): number {
    const width = jacobian === 'state' ? this.dState : this.cols - this.dState;
    if (!(row >= 0 && row < this.rows && col >= 0 && col < width)) return -1;
    return this.entry(row, jacobian === 'state' ? col : this.dState + col);
  }

  /** Return which Jacobian an entry is of, and its row and column there. */
  named(entry: number): { jacobian: Jacobian; row: number; col: number } {
    const row = Math.floor(entry / this.cols);
    const col = entry % this.cols;
    return col < this.dState ? { jacobian: 'state', row, col } : { jacobian: 'action', row, col: col - this.dState };
  }

  rowAxis(entry: number): Axis {
    return this.rowAxes[Math.floor(entry / this.cols)];
  }

  colAxis(entry: number): Axis {
    return this.colAxes[entry % this.cols];
  }

  /** Return the unit of an entry: row unit per column unit. */
  unit(entry: number): string {
    const above = this.rowAxis(entry).unit;
    const below = this.colAxis(entry).unit;
    if (above === below) return '1';
    return below === '1' ? above : `${above} / ${below.includes('/') ? `(${below})` : below}`;
  }
}

function filled(axes: Axis[], n: number, letter: string): Axis[] {
  return Array.from({ length: n }, (_, i) =>
    axes[i] ?? { name: `${letter}${i}`, joint: null, body: null, quantity: '', unit: '1' });
}

/** Return the body of an axis or, of one that has none, its joint, its quantity. */
function bodyOf(axis: Axis): string {
  return axis.body || axis.joint || axis.quantity || 'no body';
}

function kindOf(axis: Axis, isAction: boolean): AxisGroup['kind'] {
  if (isAction) return 'action';
  if (/velocity/.test(axis.quantity)) return 'velocity';
  return /position|orientation/.test(axis.quantity) ? 'position' : 'other';
}

function groups(axes: Axis[], bodies: number[], dState: number): AxisGroup[] {
  const found: AxisGroup[] = [];
  axes.forEach((axis, at) => {
    const kind = kindOf(axis, at >= dState);
    const last = found.at(-1);
    if (last && last.body === bodies[at] && last.kind === kind) last.end = at + 1;
    else found.push({ start: at, end: at + 1, body: bodies[at], kind });
  });
  return found;
}
