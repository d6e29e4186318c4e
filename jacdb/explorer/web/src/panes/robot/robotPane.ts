/** The robot at the step; a sentence where it can't be shown. */
import { address, fetchBytes, fetchJson } from '../../data/files';
import type { SceneFile } from '../../data/contract';
import type { EpisodeRows } from '../../data/episodeRows';
import { onResize } from '../../drawing/canvas';
import { button, element, setText } from '../../page/dom';
import { newtons } from '../../page/format';
import { nextFrame } from '../../page/frame';
import { frameOf } from '../../page/paneFrame';
import type { State } from '../../state';
import { codeOf, episodeIs } from '../code';
import type { App, Pane, Shown } from '../pane';
import type { RobotScene } from './robotScene';

const MOST_LABELS = 12;
const LABEL = [64, 17]; // pixels that a label takes

export class RobotPane implements Pane {
  readonly root: HTMLElement;
  private readonly stage = element('div', {
    class: 'stage', tabindex: '0', role: 'application', 'aria-roledescription': 'view', 'aria-label': 'Robot: arrow keys turn, + and − zoom',
  });
  private readonly sentence = element('p', { class: 'sentence', hidden: true });
  private readonly words = element('p', { class: 'words' });
  private readonly labels = element('div', { class: 'forces', 'aria-hidden': 'true' });
  private canvas: HTMLCanvasElement | null = null;
  private shown: Shown | null = null;
  private robot: RobotScene | null = null;
  private wanted: string | null = null;
  private entry = -1;
  private readonly places = new Float64Array(2 * MOST_LABELS); // of labels: x and y of each
  private lit = -1;
  private litOf: RobotScene | null = null;
  private rows: EpisodeRows | null = null; // of the episode that the view was last fitted to

  constructor(private readonly app: App) {
    const frame = frameOf(app, 'robot', 'Robot', {
      png: () => this.picture(),
      code: () => codeOf(`select state, contacts from steps where ${episodeIs(this.shown!)} and step = ${app.store.state.step}`),
    }, button('Reset view', () => this.turn((robot) => robot.home())));
    this.stage.append(this.labels, this.sentence);
    frame.body.append(this.stage, this.words);
    this.root = frame.root;
    this.stage.addEventListener('keydown', (event) => this.key(event));
    onResize(this.stage, () => nextFrame(this.resize));
  }

  show(shown: Shown): void {
    const { scene, scene_missing: missing } = shown.run;
    this.shown = shown;
    if (!scene) {
      this.drop();
      this.wanted = null;
      this.say(missing ?? 'This run has no model: the robot is not shown.');
    } else if (scene !== this.wanted) {
      this.wanted = scene;
      this.drop();
      this.say('Loading the robot …');
      this.load(scene).catch((error: Error) => {
        if (scene === this.wanted) this.say(error.message);
      });
    } else if (this.robot && shown.episode.rows !== this.rows) this.frame();
    this.update(this.app.store.state);
  }

  update(state: State): void {
    const { shown, robot } = this;
    if (!shown) return;
    const { rows } = shown.episode;
    const touching = rows.touching[state.step];
    setText(this.words, touching.length
      ? touching.map(({ pair, force }) => `${rows.pairs[pair].join(' touches ')}: ${newtons(force)}`).join(' · ')
      : 'Nothing touches.');
    if (!robot) return;
    const start = state.step * rows.stateWidth;
    if (rows.stateWidth >= robot.file.nq && Number.isFinite(rows.state[start])) robot.pose(rows.state, start);
    this.light(state);
    robot.contacts(touching, rows.pairs);
    nextFrame(this.draw);
  }

  hovered(entry: number): void {
    this.entry = entry;
    if (this.robot) {
      this.light(this.app.store.state);
      nextFrame(this.draw);
    }
  }

  repaint(): void {
    this.robot?.repaint(this.app.colours);
    this.litOf = null;
    if (this.shown) this.update(this.app.store.state);
  }

  /** Return where the camera is, and what it looks at. */
  view(): number[] | null {
    return this.robot && [...this.robot.camera.position.toArray(), ...this.robot.controls.target.toArray()];
  }

  /** Return where the scene's geoms are at this step. */
  geomPositions(): number[][] | null {
    return this.robot?.geomPositions() ?? null;
  }

  /** Light up the joints of the entry under the pointer, or else of the chosen one; most frames have the same as the last. */
  private light(state: State): void {
    const { shape } = this.shown!;
    const robot = this.robot!;
    const chosen = state.entry ? shape.place(state.entry.jacobian, state.entry.row, state.entry.col) : -1;
    const entry = this.entry >= 0 ? this.entry : chosen;
    if (robot === this.litOf && entry === this.lit) return;
    [this.litOf, this.lit] = [robot, entry];
    const { state: blue, action: orange } = this.app.colours;
    robot.light(entry < 0 ? [] : [
      { ...shape.colAxis(entry), colour: orange },
      { ...shape.rowAxis(entry), colour: blue },
    ]);
  }

  private async load(path: string): Promise<void> {
    const [scene, { WebGLRenderer }, { RobotScene }] = await Promise.all([
      fetchJson<SceneFile>(address(path)), import('three'), import('./robotScene'),
    ]);
    if (path !== this.wanted) return;
    const canvas = element('canvas', { 'aria-hidden': 'true' });
    let renderer;
    try {
      renderer = new WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    } catch {
      this.say('This browser has no WebGL: the robot is not shown. Matrix and timeline need none.');
      return;
    }
    this.canvas = canvas;
    this.stage.prepend(canvas);
    this.robot = new RobotScene(scene, renderer, () => nextFrame(this.draw));
    this.robot.repaint(this.app.colours);
    this.say(scene.note ?? '', true);
    this.resize();
    this.frame();
    if (scene.meshes_file) await this.loadMeshes(path, scene);
  }

  private async loadMeshes(path: string, scene: SceneFile): Promise<void> {
    const mib = (scene.meshes_bytes / 2 ** 20).toFixed(1);
    const bytes = await fetchBytes(address(scene.meshes_file!), (loaded) => {
      if (path === this.wanted) this.say(`Loading meshes: ${Math.round((100 * loaded) / scene.meshes_bytes)} % of ${mib} MiB`, true);
    });
    if (path !== this.wanted || !this.robot) return;
    this.robot.addMeshes(bytes.buffer as ArrayBuffer);
    this.say(scene.note ?? '', true);
    this.frame();
  }

  /** Look at what the shown episode shows. */
  private frame(): void {
    if (!this.shown) return;
    const { rows } = this.shown.episode;
    this.rows = rows;
    if (rows.stateWidth >= this.robot!.file.nq) this.robot!.frame(rows.state, rows.stateWidth, rows.steps);
    this.update(this.app.store.state);
  }

  private drop(): void {
    this.robot?.dispose();
    this.robot?.renderer.dispose();
    this.robot = null;
    this.canvas?.remove();
    this.labels.replaceChildren();
  }

  private say(sentence: string, isSmall = false): void {
    this.sentence.hidden = !sentence;
    this.sentence.classList.toggle('small', isSmall);
    setText(this.sentence, sentence);
  }

  private readonly resize = () => {
    const { robot, stage } = this;
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (!robot || width < 10 || height < 10) return;
    robot.renderer.setPixelRatio(Math.min(devicePixelRatio || 1, 2));
    robot.resize(width, height);
    if (this.shown) this.update(this.app.store.state);
    this.draw(); // at once: a canvas of another size is empty
  };

  private readonly draw = () => {
    if (!this.robot || !this.shown) return;
    this.robot.render();
    this.placeLabels(this.robot);
  };

  /** Write forces beside their marks, as text over the canvas. */
  private placeLabels(robot: RobotScene): void {
    const { labels, stage } = this;
    const { touching } = this.shown!.episode.rows;
    const found = touching[Math.min(this.app.store.state.step, touching.length - 1)];
    const n = Math.min(found.length, robot.points.length, MOST_LABELS);
    while (labels.children.length < n) labels.append(element('span'));
    for (let at = 0; at < labels.children.length; at++) {
      const label = labels.children[at] as HTMLElement;
      label.hidden = at >= n;
      if (label.hidden) continue;
      const point = robot.onScreen(at);
      setText(label, newtons(found[at].force));
      const x = Math.min(((point.x + 1) / 2) * stage.clientWidth + 8, stage.clientWidth - 60);
      const y = this.freeHeight(at, x, ((1 - point.y) / 2) * stage.clientHeight - 9);
      label.style.transform = `translate(${x}px, ${y}px)`;
    }
  }

  /** Return the height of a label, lower where it would lie on one before it. */
  private freeHeight(at: number, x: number, y: number): number {
    const { places } = this;
    for (let before = 0; before < at; before++) {
      const isNear = Math.abs(places[2 * before] - x) < LABEL[0] && Math.abs(places[2 * before + 1] - y) < LABEL[1];
      if (!isNear) continue;
      y = places[2 * before + 1] + LABEL[1];
      before = -1;
    }
    places[2 * at] = x;
    places[2 * at + 1] = y;
    return y;
  }

  private turn(act: (robot: RobotScene) => void): void {
    if (!this.robot) return;
    act(this.robot);
    this.update(this.app.store.state);
  }

  private key(event: KeyboardEvent): void {
    const acts: Record<string, (robot: RobotScene) => void> = {
      ArrowLeft: (robot) => robot.orbit(-0.1, 0),
      ArrowRight: (robot) => robot.orbit(0.1, 0),
      ArrowUp: (robot) => robot.orbit(0, 0.1),
      ArrowDown: (robot) => robot.orbit(0, -0.1),
      '+': (robot) => robot.orbit(0, 0, 0.9),
      '-': (robot) => robot.orbit(0, 0, 1.1),
    };
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    this.turn(act);
    event.preventDefault();
    event.stopPropagation();
  }

  private picture(): Promise<Blob | null> {
    if (!this.robot || !this.canvas) return Promise.resolve(null);
    this.robot.render();
    return new Promise((done) => this.canvas!.toBlob(done, 'image/png'));
  }
}
