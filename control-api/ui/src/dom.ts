/** Helpers for building elements. Text is always inserted as text, never as markup. */

type Child = Node | string | null | undefined | false;
type Properties = Record<string, string | number | boolean | null | undefined | EventListener>;

/** Creates an element: `h("button", { class: "primary", onclick: run }, "Run")`. `false`, `null` and `undefined` omit an attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

/** Creates an icon of 24 by 24 units in the text's colour, hidden from screen readers. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

export const ICON = {
  phone:
    "M6.6 3.5 9 3l2 4.700-2 1.500a12 12 0 0 0 5.800 5.800l1.500-2L21 15l-.5 2.400A4 4 0 0 1 16.300 20.500 14.500 14.500 0 0 1 3.500 7.700 4 4 0 0 1 6.600 3.500Z",
  hangup:
    "M3 14.500c0-2 4-5 9-5s9 3 9 5v1.800a1 1 0 0 1-1.200 1l-3.600-.8a1 1 0 0 1-.8-1v-1.900a13 13 0 0 0-6.800 0v1.900a1 1 0 0 1-.8 1l-3.600.8a1 1 0 0 1-1.200-1Z",
  microphone: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11.500a6 6 0 0 0 12 0M12 17.500V21M9 21h6",
  muted: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11.500a6 6 0 0 0 12 0M12 17.500V21M9 21h6M4 4l16 16",
  keypad: "M5 5h2v2H5zM11 5h2v2h-2zM17 5h2v2h-2zM5 11h2v2H5zM11 11h2v2h-2zM17 11h2v2h-2zM5 17h2v2H5zM11 17h2v2h-2zM17 17h2v2h-2z",
  pin: "M9 3h6l-1 6 3 4H7l3-4-1-6ZM12 13v8",
  link: "M10 14a4 4 0 0 0 6 .500l3-3a4.200 4.200 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6-.500l-3 3a4.200 4.200 0 0 0 6 6l1-1",
  page: "M6 3.500h8l4 4V20.500H6zM14 3.500v4h4M9 12h6M9 15.500h6",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  up: "M12 19V5M6 11l6-6 6 6",
  copy: "M9 8.500h9.500v12H9zM5.500 15.500v-12H15v2",
  trash: "M4.500 6.500h15M9.500 6.500v-3h5v3M6.500 6.500l1 14h9l1-14M10 10.500v6M14 10.500v6",
  edit: "M4 20l1-4.500L16 4.500l3.500 3.500-11 11zM14 6.500l3.500 3.500",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13ZM15.500 15.500 20.500 20.500",
  download: "M12 4v11M7.500 11l4.500 4.500 4.500-4.500M5 20h14",
  into: "M18 6 7 17M7 9v8h8",
  out: "M6 18 17 7M9 7h8v8",
  settings: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h11M19 17h1M15 5v4M9 10v4M17 15v4",
  live: "M3 12h3.500l2.500-7 5 14 2.500-7H21",
  list: "M8.500 6.500H20M8.500 12H20M8.500 17.500H20M4 6.500h.01M4 12h.01M4 17.500h.01",
  pause: "M8 5v14M16 5v14",
  transfer: "M4 9h13M13 4.500 17.500 9 13 13.500M20 19H8",
  swap: "M4 8.500h15M15.500 5l3.500 3.500-3.500 3.500M20 15.500H5M8.500 12 5 15.500 8.500 19",
  merge: "M5 4v4a6 6 0 0 0 6 6h8M5 20v-4a4 4 0 0 1 4-4M15.500 10.500 19 14l-3.500 3.500",
  keyboard: "M3.500 6.500h17v11h-17zM7 10h.01M11 10h.01M15 10h.01M8 14h8",
  play: "M7 4.500v15l12-7.500Z",
  stop: "M6.500 6.500h11v11h-11z",
  upload: "M12 16V5M7.500 9.500 12 5l4.500 4.500M5 20h14",
  park: "M5 4.500h14v15H5zM10 16V8h3a2.500 2.500 0 0 1 0 5h-3",
  record: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10Z",
  warning: "M12 4 21 19.500H3ZM12 10v4.500M12 17v.01",
  send: "M4 12 20 4l-5 16-3.500-6.500L4 12Z",
};

/** Sets an element's text if it has changed. */
export function setText(element: Element, text: string): void {
  // Writing the same text again would make screen readers repeat it.
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an element's content if it has changed, so that a selection in it and a screen reader's place stay. */
export function setNodes(element: Element, nodes: readonly (string | Node)[]): void {
  const fresh = element.cloneNode(false);
  if (fresh instanceof Element) fresh.append(...nodes.filter((node) => node !== ""));
  if (!element.isEqualNode(fresh)) element.replaceChildren(...fresh.childNodes);
}

/** Makes `nodes` the children of `parent`, in this order, with as few moves as possible. */
export function arrange(parent: Element, nodes: readonly Element[]): void {
  const wanted = new Set<Element>(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}
