/** The page of `jacdb explore`. */
import './style.css';
import { Explorer } from './app';
import { address, fetchJson } from './data/files';
import type { Index } from './data/contract';
import { button, element } from './page/dom';
import { Chooser, Player } from './page/controls';
import { help, listen } from './page/keys';
import { themeButton } from './page/theme';
import { CompareTab } from './panes/details/compareTab';
import { GraphTab } from './panes/details/graphTab';
import { BlockTab } from './panes/details/blockTab';
import { DetailsPane } from './panes/details/detailsPane';
import { EntryTab } from './panes/details/entryTab';
import { FilterTab } from './panes/details/filterTab';
import { ViewsTab } from './panes/details/viewsTab';
import { JacobianPane } from './panes/heatmap/jacobianPane';
import { RobotPane } from './panes/robot/robotPane';
import { TimelinePane } from './panes/timeline/timelinePane';

const FORMAT = 1;

async function main(): Promise<void> {
  const status = element('p', { class: 'status', role: 'status' }, 'Loading …');
  const live = element('p', { class: 'for-readers', 'aria-live': 'polite' });
  const root = document.getElementById('page')!;
  root.append(status, live);
  try {
    const index = await fetchJson<Index>(address('data/index.json'));
    if (index.format !== FORMAT) throw new Error(`These files are of format ${index.format}; this page reads ${FORMAT}.`);
    build(root, new Explorer(index, status, live), status, live);
  } catch (error) {
    status.textContent = (error as Error).message;
  }
}

function build(root: HTMLElement, app: Explorer, status: HTMLElement, live: HTMLElement): void {
  const chooser = new Chooser(app);
  const player = new Player(app);
  const robot = new RobotPane(app);
  const jacobian = new JacobianPane(app);
  const timeline = new TimelinePane(app);
  const details = new DetailsPane(app, [
    new EntryTab(app),
    new BlockTab(app),
    new GraphTab(app),
    new CompareTab(app),
    new FilterTab(app),
    new ViewsTab(app),
  ]);
  app.add(chooser, player, robot, jacobian, timeline, details);
  root.replaceChildren(
    element('header', { class: 'top' },
      element('h1', {}, 'jacdb', element('span', { class: 'quiet' }, app.index.name)), chooser.root,
      element('div', { class: 'top-buttons' },
        themeButton((colours) => app.repaint(colours)), button('?', help, { title: 'Keys', 'aria-label': 'Keys' }))),
    status,
    element('main', {}, robot.root, jacobian.root, details.root),
    element('footer', {}, player.root, timeline.root), live);
  listen(player);
  Object.assign(window, { jacdbExplorer: { app, geomPositions: () => robot.geomPositions(), view: () => robot.view() } });
  void app.start();
}

void main();
