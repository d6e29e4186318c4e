/** Which colour an entry has. */
import type { Palette } from '../../drawing/palette';

/** log: signed, by decades from 10^low to 10^high; zero: zero or not; linear: from -high to high; share: of zeros. */
export interface Colouring {
  mode: 'log' | 'zero' | 'linear' | 'share';
  low: number;
  high: number;
}

const DECADES = 6;

/** Return the decades that hold the largest values: those of an episode, say. */
export function logColouring(values: ArrayLike<number> | null): Colouring {
  let largest = 0;
  for (let i = 0; values && i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size > largest && size < Infinity) largest = size;
  }
  const high = largest > 0 ? Math.ceil(Math.log10(largest) - 1e-9) : 0;
  return { mode: 'log', low: high - DECADES, high };
}

/** Return an entry's colour, as an image holds it; whether it is zero is null where it is not known. */
export function pixelOf(value: number, isZero: number | boolean | null, how: Colouring, colours: Palette): number {
  if (Number.isNaN(value)) return how.mode === 'zero' ? zeroOrNot(isZero, colours) : colours.missingPixel;
  if (how.mode === 'zero') return zeroOrNot(isZero, colours);
  if (how.mode === 'share') return value === 1 ? colours.zeroPixel : colours.negative[((1 - value) * 255) | 0];
  if (isZero) return colours.zeroPixel;
  const ramp = value < 0 ? colours.negative : colours.positive;
  const size = Math.abs(value);
  const part = how.mode === 'log' ? (Math.log10(size) - how.low) / (how.high - how.low) : size / how.high;
  return ramp[part >= 1 ? 255 : part > 0 ? (part * 255) | 0 : 0];
}

function zeroOrNot(isZero: number | boolean | null, colours: Palette): number {
  if (isZero === null) return colours.missingPixel;
  return isZero ? colours.zeroPixel : colours.nonZeroPixel;
}
