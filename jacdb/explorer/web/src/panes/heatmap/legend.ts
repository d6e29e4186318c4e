/** What the colours of a heatmap mean. */
import { sharpPen } from '../../drawing/canvas';
import { css, type Palette } from '../../drawing/palette';
import type { Pen } from '../../drawing/pen';
import { element } from '../../page/dom';
import { number } from '../../page/format';
import type { Colouring } from './colouring';

const WIDTH = 320;
const HEIGHT = 28;
const BAR = 110;
const TALL = 11;
const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

export class Legend {
  readonly root = element('canvas', { class: 'legend', role: 'img' });
  private drawn = '';

  /** `nothing` is what grey means. */
  draw(colouring: Colouring, colours: Palette, nothing = 'zero'): void {
    const key = `${colouring.mode} ${colouring.low} ${colouring.high} ${colours.dark}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const pen = sharpPen(this.root, WIDTH, HEIGHT);
    const words = colouring.mode === 'zero' ? paintMask(pen, colours)
      : colouring.mode === 'share' ? paintShare(pen, colours) : paintRamps(pen, colouring, colours, nothing);
    this.root.setAttribute('aria-label', `Colours: ${words}`);
  }
}

function paintMask(pen: Pen, colours: Palette): string {
  const text = { size: 11, fill: colours.muted };
  pen.rect(66, 2, 14, TALL, css(colours.nonZeroPixel));
  pen.text(86, 12, 'not zero', text);
  pen.rect(160.5, 2.5, 14, TALL - 1, css(colours.zeroPixel), colours.muted);
  pen.text(181, 12, 'zero (below 1e-12)', text);
  return 'blue: not zero; grey: zero';
}

function paintShare(pen: Pen, colours: Palette): string {
  const text = { size: 11, fill: colours.muted };
  pen.rect(30.5, 2.5, 14, TALL - 1, css(colours.zeroPixel), colours.muted);
  pen.text(37, 25, 'always zero', { ...text, anchor: 'middle' });
  bar(pen, 54, 2 * BAR, (part) => colours.negative[Math.round(part * 255)]);
  pen.text(54 + BAR, 25, 'half of the steps', { ...text, anchor: 'middle' });
  pen.text(54 + 2 * BAR, 25, 'never zero', { ...text, anchor: 'end' });
  return 'grey: always zero; the darker or, on black, the brighter the blue, the seldomer zero';
}

/** Draw both signs, with nothing between them. */
function paintRamps(pen: Pen, { mode, low, high }: Colouring, colours: Palette, nothing: string): string {
  const middle = WIDTH / 2;
  const [left, right] = [middle - 24 - BAR, middle + 24];
  bar(pen, left, BAR, (part) => colours.negative[255 - Math.round(part * 255)]);
  bar(pen, right, BAR, (part) => colours.positive[Math.round(part * 255)]);
  pen.rect(middle - 7.5, 2.5, 14, TALL - 1, css(colours.zeroPixel), colours.muted);
  const [little, much] = mode === 'log' ? [power(low), power(high)] : ['', number(Number(high.toPrecision(3)))];
  const text = { size: 11, fill: colours.muted };
  pen.text(left, 25, `−${much}`, text);
  if (little) pen.text(left + BAR, 25, `−${little}`, { ...text, anchor: 'end' });
  pen.text(middle, 25, nothing, { ...text, anchor: 'middle' });
  if (little) pen.text(right, 25, little, text);
  pen.text(right + BAR, 25, much, { ...text, anchor: 'end' });
  return `blue: negative, to −${much}; orange: positive, to ${much}; grey: ${nothing}`;
}

function bar(pen: Pen, left: number, width: number, colour: (part: number) => number): void {
  for (let i = 0; i < width; i++) pen.rect(left + i, 2, Math.min(1.2, width - i), TALL, css(colour(i / (width - 1))));
}

/** Return a power of ten as print has it. */
function power(exponent: number): string {
  const digits = [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[Number(digit)]).join('');
  return `10${exponent < 0 ? '⁻' : ''}${digits}`;
}
