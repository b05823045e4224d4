/** Keeps what is being read where it is while other things come, go and grow around it. */

/** Where an element is in the window, in pixels. */
export interface Place {
  top: number;
  bottom: number;
}

/** Which of the places is read: the one that is held (pointer or focus), else the first that reaches below `head`, the page's own head. */
export function readPlace(places: readonly Place[], held: number, head: number, window: number): number {
  const seen = ({ top, bottom }: Place): boolean => bottom > head && top < window;
  const one = places[held];
  return one && seen(one) ? held : places.findIndex(seen);
}

/** Height of the page's own head, in pixels: what lies under it is not read. */
const HEAD = 64;

/** Changes a list; the page scrolls so that the child that is read does not move. A child that the change takes away keeps nothing. */
export function keepInPlace(list: HTMLElement, change: () => void): void {
  const children = Array.from(list.children);
  const boxes = children.map((child) => child.getBoundingClientRect());
  const held = children.findIndex((child) => child.matches(":hover, :focus-within"));
  const at = readPlace(boxes, held, HEAD, window.innerHeight);
  const [child, before] = [children[at], boxes[at]];
  change();
  if (!child?.isConnected || !before) return;
  const moved = child.getBoundingClientRect().top - before.top;
  if (moved !== 0) window.scrollBy({ top: moved, behavior: "instant" });
}
