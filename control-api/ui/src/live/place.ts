/** Keeps the element that the user reads in its position on the screen while others are added, removed and resized around it. */

/** Position of an element in the window, in pixels. */
export interface Place {
  top: number;
  bottom: number;
}

/**
 * Returns the index of the element that is being read: `held` (the one under pointer or focus) if it is visible, else the first that
 * reaches below `head`, the page's header; -1 if none is visible.
 */
export function readPlace(places: readonly Place[], held: number, head: number, window: number): number {
  const seen = ({ top, bottom }: Place): boolean => bottom > head && top < window;
  const one = places[held];
  return one && seen(one) ? held : places.findIndex(seen);
}

/** Height of the page's header, in pixels; content under it is not visible. */
const HEAD = 64;

/** Runs `change` on a list and scrolls so that the child that is being read does not move, unless the change removes that child. */
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
