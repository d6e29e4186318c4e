/** Colours, in light and dark. Blue and orange are told apart by people with every common form of colour blindness. */

export interface Palette {
  dark: boolean;
  page: string;
  panel: string;
  ink: string;
  muted: string;
  rule: string;
  zero: string;
  /** behind stretches of a plot */
  band: string;
  state: string;
  action: string;
  contact: string;
  constraint: string;
  accent: string;
  /** 256 colours from small to large, as the bytes of an image hold them; one scale for each sign */
  positive: Uint32Array;
  negative: Uint32Array;
  zeroPixel: number;
  nonZeroPixel: number;
  missingPixel: number;
}

type Rgb = [number, number, number];

const LIGHT = {
  page: '#f6f6f4', panel: '#ffffff', ink: '#1b1d21', muted: '#5c6168', rule: '#d5d6d8', zero: '#eeeeec', band: '#e3e5e8',
  state: '#0b5fa5', action: '#b65400', contact: '#b65400', constraint: '#5e6a75', accent: '#0b5fa5',
};
const DARK = {
  page: '#121417', panel: '#1a1d21', ink: '#eceef0', muted: '#a2a9b1', rule: '#3a3f46', zero: '#24282d', band: '#2c323a',
  state: '#6db5f2', action: '#f5a55b', contact: '#f5a55b', constraint: '#93a1ae', accent: '#6db5f2',
};
// from little to much, light to dark on paper, dark to light on black; little is told from the grey of zero
const RAMPS: Record<'light' | 'dark', { positive: Rgb[]; negative: Rgb[] }> = {
  light: {
    positive: [[250, 210, 168], [248, 166, 92], [214, 101, 22], [122, 44, 4]],
    negative: [[184, 213, 241], [116, 172, 221], [33, 113, 181], [8, 42, 92]],
  },
  dark: {
    positive: [[98, 60, 27], [150, 82, 24], [230, 140, 52], [255, 224, 178]],
    negative: [[32, 68, 110], [34, 96, 158], [88, 168, 232], [208, 234, 255]],
  },
};

/** Return the colours of a theme. */
export function palette(dark: boolean): Palette {
  const named = dark ? DARK : LIGHT;
  const ramps = RAMPS[dark ? 'dark' : 'light'];
  return {
    dark, ...named,
    positive: scale(ramps.positive),
    negative: scale(ramps.negative),
    zeroPixel: pixel(parse(named.zero)),
    nonZeroPixel: pixel(parse(named.state)),
    missingPixel: pixel(dark ? [110, 60, 110] : [196, 150, 196]),
  };
}

/** Return a pixel as CSS says it. */
export function css(pixel: number): string {
  const hex = (shift: number) => ((pixel >> shift) & 255).toString(16).padStart(2, '0');
  return `#${hex(0)}${hex(8)}${hex(16)}`;
}

function scale(stops: Rgb[]): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    const part = at - low;
    return pixel(stops[low].map((one, k) => Math.round(one + part * (stops[low + 1][k] - one))) as Rgb);
  });
}

function parse(hex: string): Rgb {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) as Rgb;
}

function pixel([r, g, b]: Rgb): number {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
