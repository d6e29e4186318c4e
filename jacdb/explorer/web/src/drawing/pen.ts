/** What figures are drawn with: a canvas on the page, an SVG element in a figure that is kept. */

export interface TextStyle {
  size?: number;
  anchor?: 'start' | 'middle' | 'end';
  fill: string;
  /** degrees, about the text's anchor */
  rotate?: number;
  bold?: boolean;
}

/** Draws shapes; all lengths are CSS pixels. */
export interface Pen {
  rect(x: number, y: number, width: number, height: number, fill: string, stroke?: string): void;
  line(points: number[], stroke: string, width?: number, dash?: number[]): void;
  curve(points: number[], stroke: string, width: number, opacity: number): void;
  circle(x: number, y: number, radius: number, fill: string, stroke?: string): void;
  text(x: number, y: number, text: string, style: TextStyle): void;
}

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';

/** Draws on a canvas. */
export class CanvasPen implements Pen {
  constructor(private readonly context: CanvasRenderingContext2D) {}

  rect(x: number, y: number, width: number, height: number, fill: string, stroke?: string): void {
    const { context } = this;
    if (fill !== 'none') {
      context.fillStyle = fill;
      context.fillRect(x, y, width, height);
    }
    if (stroke) {
      context.strokeStyle = stroke;
      context.lineWidth = 1;
      context.strokeRect(x, y, width, height);
    }
  }

  line(points: number[], stroke: string, width = 1, dash: number[] = []): void {
    const { context } = this;
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) context.lineTo(points[i], points[i + 1]);
    context.setLineDash(dash);
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.stroke();
    context.setLineDash([]);
  }

  curve([x0, y0, x1, y1, x2, y2]: number[], stroke: string, width: number, opacity: number): void {
    const { context } = this;
    context.globalAlpha = opacity;
    context.beginPath();
    context.moveTo(x0, y0);
    context.quadraticCurveTo(x1, y1, x2, y2);
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.stroke();
    context.globalAlpha = 1;
  }

  circle(x: number, y: number, radius: number, fill: string, stroke?: string): void {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.fill();
    if (stroke) {
      context.strokeStyle = stroke;
      context.lineWidth = 1.5;
      context.stroke();
    }
  }

  text(x: number, y: number, text: string, { size = 11, anchor = 'start', fill, rotate = 0, bold }: TextStyle): void {
    const { context } = this;
    context.save();
    context.translate(x, y);
    if (rotate) context.rotate((rotate * Math.PI) / 180);
    context.font = `${bold ? '600 ' : ''}${size}px ${FONT}`;
    context.textAlign = anchor === 'middle' ? 'center' : anchor;
    context.fillStyle = fill;
    context.fillText(text, 0, 0);
    context.restore();
  }
}

const SVG = 'http://www.w3.org/2000/svg';

/** Draws an SVG element: real shapes and text. */
export class SvgPen implements Pen {
  readonly svg: SVGSVGElement;

  constructor(width: number, height: number, title: string) {
    this.svg = node('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'font-family': FONT });
    const name = node('title', {});
    name.textContent = title;
    this.svg.append(name);
  }

  rect(x: number, y: number, width: number, height: number, fill: string, stroke?: string): void {
    this.add('rect', { x, y, width, height, fill, stroke });
  }

  line(points: number[], stroke: string, width = 1, dash: number[] = []): void {
    const d = points.reduce((path, at, i) => path + (i % 2 ? ' ' : i ? ' L' : 'M') + short(at), '');
    this.add('path', { d, fill: 'none', stroke, 'stroke-width': width, 'stroke-dasharray': dash.join(' ') || undefined });
  }

  curve([x0, y0, x1, y1, x2, y2]: number[], stroke: string, width: number, opacity: number): void {
    const d = `M${short(x0)} ${short(y0)} Q${short(x1)} ${short(y1)} ${short(x2)} ${short(y2)}`;
    this.add('path', { d, fill: 'none', stroke, 'stroke-width': short(width), 'stroke-opacity': short(opacity) });
  }

  circle(x: number, y: number, radius: number, fill: string, stroke?: string): void {
    this.add('circle', { cx: x, cy: y, r: radius, fill, stroke, 'stroke-width': stroke ? 1.5 : undefined });
  }

  text(x: number, y: number, text: string, { size = 11, anchor = 'start', fill, rotate = 0, bold }: TextStyle): void {
    const transform = rotate ? `rotate(${rotate} ${short(x)} ${short(y)})` : undefined;
    const made = this.add('text', {
      x, y, fill, transform, 'font-size': size, 'text-anchor': anchor, 'font-weight': bold ? 600 : undefined,
    });
    made.textContent = text;
  }

  private add(tag: string, attributes: Record<string, string | number | undefined>): SVGElement {
    const made = node(tag, attributes);
    this.svg.append(made);
    return made;
  }
}

function node<T extends SVGElement>(tag: string, attributes: Record<string, string | number | undefined>): T {
  const made = document.createElementNS(SVG, tag) as T;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(name, typeof value === 'number' ? String(short(value)) : value);
  }
  return made;
}

function short(value: number): number {
  return Math.round(value * 100) / 100;
}
