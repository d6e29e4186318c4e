/** Work that is drawn: each piece at most once in an animation frame. */

const waiting = new Set<() => void>();
let asked = false;

/** Run a function in the next frame, once, however often it is asked for. */
export function nextFrame(draw: () => void): void {
  waiting.add(draw);
  if (!asked) {
    asked = true;
    requestAnimationFrame(run);
  }
}

function run(): void {
  asked = false;
  for (const draw of [...waiting]) {
    waiting.delete(draw);
    draw();
  }
}
