/** Numbers as people read them. */

/** Return a number with seven digits at most: what float32 holds. */
export function number(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const text = String(Number(value.toPrecision(7)));
  return text.replace('-', '−').replace('e−', 'e-').replace('e+', 'e');
}

/** Return a share as per cent; one that is not quite none or all says so. */
export function percent(share: number): string {
  if (Number.isNaN(share)) return '–';
  if (share === 0 || share === 1) return `${share * 100} %`;
  const shown = Math.min(Math.max(share * 100, 0.1), 99.9);
  return `${shown < 10 || shown > 99 ? shown.toFixed(1) : shown.toFixed(0)} %`;
}

/** Return a count with its word: "1 step", "12 steps", "2 entries". */
export function count(n: number, word: string): string {
  const words = n === 1 ? word : word.endsWith('y') ? `${word.slice(0, -1)}ies` : `${word}s`;
  return `${n.toLocaleString('en')} ${words}`;
}

/** Return a force in newtons, three digits. */
export function newtons(force: number): string {
  return `${Number(force.toPrecision(3)).toLocaleString('en')} N`;
}

/** Return a name cut in its middle to a length: its end tells a position from a velocity. */
export function short(name: string, most: number): string {
  if (name.length <= most) return name;
  const head = Math.floor((most - 1) / 2);
  return `${name.slice(0, head)}…${name.slice(name.length - (most - 1 - head))}`;
}
