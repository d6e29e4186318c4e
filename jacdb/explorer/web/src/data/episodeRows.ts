/** Rows of an episode, made flat: what the worker hands to the page. */

export interface EpisodeRequest {
  id: number;
  url: string;
  bytes: number;
  rowStart: number;
  rowEnd: number;
  dState: number;
  dAction: number;
  float64: boolean;
}

export type Matrices = Float32Array | Float64Array;

/** One episode, step after step. Matrices are (steps, d_state, d_state + d_action): j_state and j_action side by side. */
export interface EpisodeRows {
  steps: number;
  values: Matrices | null;
  state: Float64Array;
  stateWidth: number;
  action: Float64Array;
  actionWidth: number;
  reward: Float64Array;
  /** by step, -1 where there is none that counts: `exact` */
  pattern: Int32Array;
  patternIds: string[];
  zeroState: Int32Array;
  zeroAction: Int32Array;
  finite: Uint8Array;
  /** by step, whether its zeros count: it is finite, and not by finite differences, which tell no zeros */
  exact: Uint8Array;
  /** pairs of geoms that touch in some step; `touching` gives by step which, how deep, how hard */
  pairs: [string, string][];
  touching: { pair: number; distance: number; force: number }[][];
  /** names of the other constraints; `holding` gives by step which */
  constraints: string[];
  holding: number[][];
}

export type EpisodeAnswer = { id: number; rows: EpisodeRows } | { id: number; error: string };

type Row = Record<string, unknown>;

/** Return the rows of an episode as flat arrays. */
export function flatten(rows: Row[], request: EpisodeRequest, hasMatrices: boolean): EpisodeRows {
  const n = rows.length;
  const { values: state, width: stateWidth } = vectors(rows, 'state');
  const { values: action, width: actionWidth } = vectors(rows, 'action');
  const flat: EpisodeRows = {
    steps: n,
    values: hasMatrices ? matrices(rows, request) : null,
    state, stateWidth, action, actionWidth,
    reward: new Float64Array(n),
    pattern: new Int32Array(n).fill(-1),
    patternIds: [],
    zeroState: new Int32Array(n),
    zeroAction: new Int32Array(n),
    finite: new Uint8Array(n),
    exact: new Uint8Array(n),
    pairs: [], touching: [], constraints: [], holding: [],
  };
  const patterns = new Places<string>();
  const pairs = new Places<string>();
  const constraints = new Places<string>();
  rows.forEach((row, at) => {
    flat.reward[at] = row.reward == null ? NaN : Number(row.reward);
    flat.finite[at] = row.finite === false ? 0 : 1;
    flat.exact[at] = flat.finite[at] && row.method !== 'fd' ? 1 : 0;
    const tellsZeros = flat.exact[at] === 1;
    flat.zeroState[at] = tellsZeros && row.n_zero_state != null ? Number(row.n_zero_state) : -1;
    flat.zeroAction[at] = tellsZeros && row.n_zero_action != null ? Number(row.n_zero_action) : -1;
    if (tellsZeros && row.pattern_id != null) flat.pattern[at] = patterns.of(String(row.pattern_id));
    flat.touching.push(list(row.contacts).map((one) => {
      const contact = one as { geom1: string; geom2: string; distance: number; normal_force: number };
      const pair = pairs.of(JSON.stringify([contact.geom1, contact.geom2]));
      return { pair, distance: Number(contact.distance), force: Number(contact.normal_force) };
    }));
    flat.holding.push([...new Set(list(row.active).map((name) => constraints.of(String(name))))]);
  });
  flat.patternIds = patterns.names;
  flat.pairs = pairs.names.map((pair) => JSON.parse(pair) as [string, string]);
  flat.constraints = constraints.names;
  return flat;
}

/** Numbers distinct values in the order in which they come. */
class Places<T> {
  readonly names: T[] = [];
  private readonly places = new Map<T, number>();

  of(name: T): number {
    let place = this.places.get(name);
    if (place === undefined) {
      place = this.names.push(name) - 1;
      this.places.set(name, place);
    }
    return place;
  }
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function vectors(rows: Row[], column: string): { values: Float64Array; width: number } {
  const width = rows.reduce((most, row) => Math.max(most, lengthOf(row[column])), 0);
  const values = new Float64Array(rows.length * width).fill(NaN);
  rows.forEach((row, at) => {
    const vector = row[column] as ArrayLike<number> | null;
    for (let i = 0; i < lengthOf(vector); i++) values[at * width + i] = Number(vector![i]);
  });
  return { values, width };
}

function lengthOf(value: unknown): number {
  return (value as ArrayLike<unknown> | null)?.length ?? 0;
}

function matrices(rows: Row[], { dState, dAction, float64 }: EpisodeRequest): Matrices {
  const width = dState + dAction;
  const size = rows.length * dState * width;
  const values = float64 ? new Float64Array(size) : new Float32Array(size);
  values.fill(NaN);
  rows.forEach((row, at) => {
    const start = at * dState * width;
    place(values, row.j_state, start, width, dState);
    place(values, row.j_action, start + dState, width, dAction);
  });
  return values;
}

/** Copy a matrix into place: rows that are missing or short stay NaN. */
function place(values: Matrices, matrix: unknown, start: number, stride: number, most: number): void {
  const rows = matrix as (ArrayLike<number> | null)[] | null;
  for (let r = 0; r < lengthOf(rows); r++) {
    const row = rows![r];
    const n = Math.min(lengthOf(row), most);
    for (let c = 0; c < n; c++) values[start + r * stride + c] = Number(row![c]);
  }
}
