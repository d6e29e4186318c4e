/** Lanes of a timeline: in which steps each contact pair and each other constraint holds. */
import type { Shown } from '../pane';

export interface Lane {
  name: string;
  held: Uint8Array;
  steps: number;
}

const MOST = 40;

/** Return how many constraints an episode has, and a lane for each: contacts first, the most lasting first.
 *
 * Of many constraints those have one that hold in most steps.
 */
export function lanesOf({ episode }: Shown): { lanes: Lane[]; constraints: number } {
  const lanes = new Map<string, Lane>();
  for (let step = 0; step < episode.steps; step++) {
    for (const name of episode.held(step)) {
      let lane = lanes.get(name);
      if (!lane) lanes.set(name, (lane = { name, held: new Uint8Array(episode.steps), steps: 0 }));
      lane.steps += lane.held[step] ? 0 : 1;
      lane.held[step] = 1;
    }
  }
  const isContact = ({ name }: Lane) => Number(name.startsWith('contact:'));
  const longest = [...lanes.values()].sort((a, b) => b.steps - a.steps).slice(0, MOST);
  return { lanes: longest.sort((a, b) => isContact(b) - isContact(a) || b.steps - a.steps), constraints: lanes.size };
}
