/** The files below the page's address, as `jacdb explore` writes them. */

export interface Axis {
  name: string;
  joint: string | null;
  body: string | null;
  quantity: string;
  unit: string;
}

export interface Environment {
  name: string;
  suite: string;
  d_state: number;
  d_action: number;
  axes: { tangent: Axis[]; state: Axis[]; action: Axis[] };
}

export interface Run {
  env: string;
  run_id: string;
  policy: string;
  method: string;
  seed: number;
  n_episodes: number;
  n_steps: number;
  dtype: string;
  file: string;
  scene: string | null;
  scene_missing: string | null;
  /** seconds of a control step, where known */
  ctrl_dt?: number | null;
}

export interface Index {
  format: number;
  jacdb: string;
  name: string;
  parts: string;
  views: {
    order: string[];
    texts: Record<string, string>;
    macros: Record<string, string>;
    partials: string[];
    remaining: Record<string, string>;
    /** views that the page has not, each with the reason */
    unavailable: Record<string, string>;
    questions: Record<string, { grain?: string; question?: string; columns?: string }>;
  };
  thresholds: number[];
  environments: Environment[];
  runs: Run[];
}

export interface EpisodeRow {
  episode: number;
  n_steps: number;
  total_reward: number | null;
  done: boolean;
  truncated: boolean;
  n_contact_steps: number;
  n_excluded: number;
  part: number;
  first_row: number;
}

export interface RunFile {
  episodes: EpisodeRow[];
  parts: { path: string; bytes: number; rows: number }[];
  steps: string;
  /** `steps`: how many of the run have it */
  patterns: { pattern_id: string; zero_state: string; zero_action: string; steps: number }[];
}

export interface SceneBody {
  name: string;
  parent: number;
  pos: number[];
  quat: number[];
}

export interface SceneJoint {
  name: string;
  body: number;
  type: 'free' | 'ball' | 'slide' | 'hinge';
  pos: number[];
  axis: number[];
  qposadr: number;
  qpos0: number[];
}

export interface SceneGeom {
  name: string;
  body: number;
  type: 'plane' | 'sphere' | 'capsule' | 'ellipsoid' | 'cylinder' | 'box' | 'mesh' | 'hfield';
  size: number[];
  pos: number[];
  quat: number[];
  rgba: number[];
  group: number;
  mesh: number | null;
}

export interface SceneFile {
  nq: number;
  bodies: SceneBody[];
  joints: SceneJoint[];
  geoms: SceneGeom[];
  /** geoms that are not drawn */
  unseen?: { name: string; body: number; pos: number[] }[];
  /** what is to be known of this model, where it is not the run's own */
  note?: string | null;
  tendons: { name: string; sites: { body: number; pos: number[] }[]; width: number; rgba: number[] }[];
  meshes: { vertices: [number, number]; faces: [number, number] }[];
  meshes_file: string | null;
  meshes_bytes: number;
  center: number[];
  extent: number;
  actuators: { name: string; joint: string | null }[];
}
