/** The graph of bodies: its edges by the share of steps in which they are there, and how it is drawn. */
import type { Palette } from '../../drawing/palette';
import type { Pen } from '../../drawing/pen';
import { short } from '../../page/format';
import type { Episode } from '../../data/episode';
import type { Shape } from '../../data/shape';

/** The next state of `to` depends on the state, or the action, of `from`. */
export interface Edge {
  from: number;
  to: number;
  /** of the entry of the block that is there most often */
  share: number;
}

const NEAR = 8; // pixels from an arrow that still mean it

/** Return in which share of an episode's steps each entry is at least as large as a threshold; null without matrices. */
export function sharesAbove(episode: Episode, threshold: number): Float64Array | null {
  const { values } = episode.rows;
  if (!values) return null;
  const shares = new Float64Array(episode.size);
  let finite = 0;
  for (let step = 0; step < episode.steps; step++) {
    if (!episode.rows.finite[step]) continue;
    finite++;
    for (let entry = 0; entry < episode.size; entry++) {
      if (Math.abs(values[step * episode.size + entry]) >= threshold) shares[entry]++;
    }
  }
  return shares.map((n) => n / finite);
}

/** Return the edges between bodies, the rarest first: the most lasting are drawn over them. */
export function edgesOf(shape: Shape, shares: Float64Array): Edge[] {
  const found = new Map<string, Edge>();
  for (let entry = 0; entry < shares.length; entry++) {
    const from = shape.colBody[entry % shape.cols];
    const to = shape.rowBody[Math.floor(entry / shape.cols)];
    if (from === to || Number.isNaN(shares[entry])) continue;
    const edge = found.get(`${from},${to}`);
    if (!edge) found.set(`${from},${to}`, { from, to, share: shares[entry] });
    else edge.share = Math.max(edge.share, shares[entry]);
  }
  return [...found.values()].sort((a, b) => a.share - b.share);
}

/** Draw bodies on a ring, and their edges: wider and darker the more steps have them. */
export function paintGraph(
  pen: Pen, bodies: string[], edges: Edge[], chosen: { row: number; col: number } | null, width: number, height: number, colours: Palette,
): void {
  pen.rect(0, 0, width, height, colours.panel);
  for (const edge of edges) {
    const isChosen = chosen?.row === edge.to && chosen.col === edge.from;
    const colour = isChosen ? colours.action : colours.state;
    const [x0, y0, x1, y1, x2, y2] = pathOf(edge, bodies.length, width, height);
    pen.curve([x0, y0, x1, y1, x2, y2], colour, 0.6 + 2.4 * edge.share, isChosen ? 1 : 0.15 + 0.6 * edge.share);
    const [dx, dy] = unit(x2 - x1, y2 - y1);
    for (const side of [-1, 1]) {
      pen.line([x2, y2, x2 - 7 * dx + 3.5 * side * dy, y2 - 7 * dy - 3.5 * side * dx], colour, isChosen ? 2 : 1);
    }
  }
  bodies.forEach((name, at) => {
    const [x, y] = placeOf(at, bodies.length, width, height);
    pen.circle(x, y, 5, colours.ink, colours.panel);
    const isRight = x > width / 2 + 1;
    const isMiddle = Math.abs(x - width / 2) <= 1;
    const down = isMiddle ? (y < height / 2 ? -9 : 17) : 4;
    pen.text(x + (isMiddle ? 0 : isRight ? 9 : -9), y + down, short(name || 'world', 18), {
      size: 11, fill: colours.ink, anchor: isMiddle ? 'middle' : isRight ? 'start' : 'end',
    });
  });
}

/** Return the edge whose arrow passes near a point; the most lasting one of several. */
export function edgeAt(edges: Edge[], bodies: number, x: number, y: number, width: number, height: number): Edge | null {
  let [best, nearest]: [Edge | null, number] = [null, NEAR];
  for (const edge of edges) {
    const [x0, y0, x1, y1, x2, y2] = pathOf(edge, bodies, width, height);
    for (let t = 0.15; t <= 0.9; t += 0.05) {
      const s = 1 - t;
      const px = s * s * x0 + 2 * s * t * x1 + t * t * x2;
      const py = s * s * y0 + 2 * s * t * y1 + t * t * y2;
      const away = Math.hypot(px - x, py - y);
      if (away <= nearest) [best, nearest] = [edge, away];
    }
  }
  return best;
}

/** Return where a body stands: on an ellipse that leaves room for names. */
function placeOf(at: number, bodies: number, width: number, height: number): [number, number] {
  const angle = (2 * Math.PI * at) / Math.max(bodies, 1) - Math.PI / 2;
  return [width / 2 + Math.max(width / 2 - 105, 40) * Math.cos(angle), height / 2 + (height / 2 - 28) * Math.sin(angle)];
}

/** Return a curve from body to body, bent to its right: both directions are told apart. */
function pathOf({ from, to }: Edge, bodies: number, width: number, height: number): number[] {
  const [x0, y0] = placeOf(from, bodies, width, height);
  const [x2, y2] = placeOf(to, bodies, width, height);
  const [dx, dy] = unit(x2 - x0, y2 - y0);
  const bend = 0.14 * Math.hypot(x2 - x0, y2 - y0);
  const middle = [(x0 + x2) / 2 - bend * dy, (y0 + y2) / 2 + bend * dx];
  const [ex, ey] = unit(x2 - middle[0], y2 - middle[1]);
  return [x0, y0, middle[0], middle[1], x2 - 8 * ex, y2 - 8 * ey];
}

function unit(x: number, y: number): [number, number] {
  const length = Math.hypot(x, y) || 1;
  return [x / length, y / length];
}
