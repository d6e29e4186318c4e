/** The causal graph of bodies and actions: its edges by the share of steps in which they are there, and how it is drawn. */
import type { Palette } from '../../drawing/palette';
import type { Pen } from '../../drawing/pen';
import { short } from '../../page/format';
import type { Episode } from '../../data/episode';
import type { Shape } from '../../data/shape';

/** A body, or an action: what it is called, the body whose block of the matrix has it, and the action's column. */
export interface GraphNode {
  name: string;
  isAction: boolean;
  body: number;
  col: number;
}

/** The next state of `to`, a body, depends on the state of `from`, or on it as an action: numbers of nodes. */
export interface Edge {
  from: number;
  to: number;
  /** of the entry of the block that is there most often */
  share: number;
}

const NEAR = 8; // pixels from an arrow that still mean it
const REACH = 16; // and from a node
const FAINT = 0.07; // opacity of edges that are not of the node under the pointer

/** Return the nodes: each body that has a state, followed by the actions on it; a body that has none is no node. */
export function nodesOf(shape: Shape): GraphNode[] {
  const states = new Set(shape.rowBody);
  return shape.bodies.flatMap((name, body) => [
    ...(states.has(body) ? [{ name, isAction: false, body, col: -1 }] : []),
    ...shape.colAxes.flatMap((axis, col) => (col >= shape.dState && shape.colBody[col] === body
      ? [{ name: axis.name, isAction: true, body, col }] : [])),
  ]);
}

/** Return in which share of an episode's exact steps each entry is at least as large as a threshold; null without matrices.
 *
 * A mask says which steps meet a condition: then only these count.
 */
export function sharesAbove(episode: Episode, threshold: number, mask: Uint8Array | null): Float64Array | null {
  const { values } = episode.rows;
  if (!values) return null;
  // what was rounded to float32 is compared with what the threshold is in float32
  const least = values instanceof Float32Array ? Math.fround(threshold) : threshold;
  const shares = new Float64Array(episode.size);
  let counted = 0;
  for (let step = 0; step < episode.steps; step++) {
    if (!episode.rows.exact[step] || (mask && !mask[step])) continue;
    counted++;
    for (let entry = 0; entry < episode.size; entry++) {
      if (Math.abs(values[step * episode.size + entry]) >= least) shares[entry]++;
    }
  }
  return shares.map((n) => n / counted);
}

/** Return the edges between nodes, the rarest first: the most lasting are drawn over them. */
export function edgesOf(shape: Shape, nodes: GraphNode[], shares: Float64Array): Edge[] {
  const found = new Map<string, Edge>();
  const ofBody = new Map(nodes.flatMap(({ isAction, body }, at) => (isAction ? [] : [[body, at] as const])));
  const ofAction = new Map(nodes.map(({ col }, at) => [col, at]));
  for (let entry = 0; entry < shares.length; entry++) {
    const col = entry % shape.cols;
    const from = col < shape.dState ? ofBody.get(shape.colBody[col])! : ofAction.get(col)!;
    const to = ofBody.get(shape.rowBody[Math.floor(entry / shape.cols)])!;
    if (from === to || Number.isNaN(shares[entry])) continue;
    const edge = found.get(`${from},${to}`);
    if (!edge) found.set(`${from},${to}`, { from, to, share: shares[entry] });
    else edge.share = Math.max(edge.share, shares[entry]);
  }
  return [...found.values()].sort((a, b) => a.share - b.share);
}

export interface GraphView {
  nodes: GraphNode[];
  edges: Edge[];
  /** the block that is shown of the matrix */
  block: { row: number; col: number } | null;
  /** the node whose edges stand out; -1 for none */
  focus: number;
  width: number;
  height: number;
}

/** Draw bodies as discs and actions as squares on a ring, and their edges: wider and darker the more steps have them. */
export function paintGraph(pen: Pen, view: GraphView, colours: Palette): void {
  const { nodes, edges, block, focus, width, height } = view;
  pen.rect(0, 0, width, height, colours.panel);
  for (const edge of edges) {
    const [from, to] = [nodes[edge.from], nodes[edge.to]];
    const isChosen = block !== null && block.row === to.body && block.col === from.body;
    const isFaint = focus >= 0 && focus !== edge.from && focus !== edge.to;
    const colour = isChosen ? colours.ink : from.isAction ? colours.action : colours.state;
    const opacity = isFaint ? FAINT : isChosen ? 1 : 0.15 + 0.6 * edge.share;
    const [x0, y0, x1, y1, x2, y2] = pathOf(view, edge);
    pen.curve([x0, y0, x1, y1, x2, y2], colour, (isChosen ? 1.4 : 0.6) + 1.8 * edge.share, opacity);
    if (isFaint) continue;
    const [dx, dy] = unit(x2 - x1, y2 - y1);
    for (const side of [-1, 1]) {
      pen.line([x2, y2, x2 - 7 * dx + 3.5 * side * dy, y2 - 7 * dy - 3.5 * side * dx], colour, isChosen ? 2 : 1);
    }
  }
  nodes.forEach((node, at) => paintNode(pen, view, node, at, colours));
}

function paintNode(pen: Pen, view: GraphView, { name, isAction }: GraphNode, at: number, colours: Palette): void {
  const { width, height, nodes, focus } = view;
  const [x, y] = placeOf(view, at);
  if (isAction) pen.rect(x - 5, y - 5, 10, 10, colours.action, colours.panel);
  else pen.circle(x, y, 5.5, colours.ink, colours.panel);
  const isMiddle = Math.abs(x - width / 2) < 12;
  const isRight = x > width / 2;
  const down = isMiddle ? (y < height / 2 ? -10 : 18) : 4;
  pen.text(x + (isMiddle ? 0 : isRight ? 10 : -10), y + down, short(isAction ? name.replace(/(.)\.action$/, '$1') : name, 15), {
    size: nodes.length > 30 ? 9 : 11, fill: isAction ? colours.action : colours.ink, anchor: isMiddle ? 'middle' : isRight ? 'start' : 'end',
    bold: at === focus,
  });
}

/** Return the node near a point; -1 for none. */
export function nodeAt(view: GraphView, x: number, y: number): number {
  return view.nodes.findIndex((_, at) => {
    const [nx, ny] = placeOf(view, at);
    return Math.hypot(nx - x, ny - y) <= REACH;
  });
}

/** Return the edge whose arrow passes near a point; the most lasting one of several. */
export function edgeAt(view: GraphView, x: number, y: number): Edge | null {
  let [best, nearest]: [Edge | null, number] = [null, NEAR];
  for (const edge of view.edges) {
    const [x0, y0, x1, y1, x2, y2] = pathOf(view, edge);
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

/** Return where a node stands: on an ellipse that leaves room for names. */
function placeOf({ nodes, width, height }: GraphView, at: number): [number, number] {
  const angle = (2 * Math.PI * at) / Math.max(nodes.length, 1) - Math.PI / 2;
  return [width / 2 + Math.max(width / 2 - 100, 40) * Math.cos(angle), height / 2 + (height / 2 - 24) * Math.sin(angle)];
}

/** Return a curve from node to node, bent to its right: both directions are told apart. */
function pathOf(view: GraphView, { from, to }: Edge): number[] {
  const [x0, y0] = placeOf(view, from);
  const [x2, y2] = placeOf(view, to);
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
