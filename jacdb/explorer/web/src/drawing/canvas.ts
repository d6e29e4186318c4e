/** Canvases that are as sharp as the screen. */
import { CanvasPen } from './pen';

/** Size a canvas for its place on the page; return its context, in CSS pixels. */
export function sharpContext(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = Math.max(1, devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Return a pen on a sized, empty canvas. */
export function sharpPen(canvas: HTMLCanvasElement, width: number, height: number): CanvasPen {
  return new CanvasPen(sharpContext(canvas, width, height));
}

/** Call a function when an element's size changes, and once at the start. */
export function onResize(target: Element, resized: () => void): void {
  new ResizeObserver(resized).observe(target);
}
