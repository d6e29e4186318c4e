/** Zero patterns of a run: which entries are zero, a byte an entry, j_state and j_action side by side. */
import type { RunFile } from './contract';
import type { Shape } from './shape';

export const ZERO_THRESHOLD = 1e-12;

export class Patterns {
  readonly ids: string[];
  private readonly places = new Map<string, number>();
  private readonly unpacked = new Map<number, Uint8Array>();

  constructor(private readonly stored: RunFile['patterns'], private readonly shape: Shape) {
    this.ids = stored.map((one) => one.pattern_id);
    this.ids.forEach((id, at) => this.places.set(id, at));
  }

  /** Return the number of a pattern; -1 where the run has none of that name. */
  place(id: string): number {
    return this.places.get(id) ?? -1;
  }

  /** Return a pattern: 1 where the entry is zero. */
  zeros(at: number): Uint8Array {
    let zeros = this.unpacked.get(at);
    if (!zeros) {
      const { rows, cols, dState } = this.shape;
      zeros = new Uint8Array(rows * cols);
      unpack(this.stored[at].zero_state, zeros, cols, 0, dState, rows);
      unpack(this.stored[at].zero_action, zeros, cols, dState, cols - dState, rows);
      this.unpacked.set(at, zeros);
    }
    return zeros;
  }
}

/** Spread bits over entries: row by row, the first entry in the highest bit of the first byte. */
function unpack(base64: string, zeros: Uint8Array, stride: number, start: number, width: number, rows: number): void {
  const bytes = atob(base64);
  for (let bit = 0; bit < rows * width; bit++) {
    const set = (bytes.charCodeAt(bit >> 3) >> (7 - (bit & 7))) & 1;
    zeros[Math.floor(bit / width) * stride + start + (bit % width)] = set;
  }
}
