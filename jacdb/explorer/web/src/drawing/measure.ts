/** How wide text is, and what of it fits into a width. */
import { short } from '../page/format';
import { FONT } from './pen';

let context: CanvasRenderingContext2D | null = null;

/** Return the width of a text in pixels, at a size in pixels. */
export function widthOf(text: string, size: number): number {
  context ??= document.createElement('canvas').getContext('2d')!;
  context.font = `${size}px ${FONT}`;
  return context.measureText(text).width;
}

/** Return a name cut in its middle to some letters, and to fewer where these are wider than a width. */
export function fitted(name: string, size: number, letters: number, width: number): string {
  let most = Math.min(letters, name.length);
  while (most > 3 && widthOf(short(name, most), size) > width) most--;
  return short(name, most);
}
