/** A few words for building elements. Text is always text, never markup. */

type Child = Node | string | null | undefined | false;
type Properties = Record<string, string | number | boolean | null | undefined | EventListener>;

/** `h("button", { class: "primary", onclick: run }, "Run")`. `false`, `null` and `undefined` leave an attribute out. */
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

/** An icon of 24 by 24 units, drawn with the text's colour; decoration only. */
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
  phone: "M6.6 3.5 9 3l2 4.700-2 1.500a12 12 0 0 0 5.800 5.800l1.500-2L21 15l-.5 2.400A4 4 0 0 1 16.300 20.500 14.500 14.500 0 0 1 3.500 7.700 4 4 0 0 1 6.600 3.500Z",
  hangup: "M3 14.500c0-2 4-5 9-5s9 3 9 5v1.800a1 1 0 0 1-1.200 1l-3.600-.8a1 1 0 0 1-.8-1v-1.900a13 13 0 0 0-6.800 0v1.900a1 1 0 0 1-.8 1l-3.600.8a1 1 0 0 1-1.200-1Z",
  microphone: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11.500a6 6 0 0 0 12 0M12 17.500V21M9 21h6",
  muted: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11.500a6 6 0 0 0 12 0M12 17.500V21M9 21h6M4 4l16 16",
  keypad: "M5 5h2v2H5zM11 5h2v2h-2zM17 5h2v2h-2zM5 11h2v2H5zM11 11h2v2h-2zM17 11h2v2h-2zM5 17h2v2H5zM11 17h2v2h-2zM17 17h2v2h-2z",
  pin: "M9 3h6l-1 6 3 4H7l3-4-1-6ZM12 13v8",
  link: "M10 14a4 4 0 0 0 6 .500l3-3a4.200 4.200 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6-.500l-3 3a4.200 4.200 0 0 0 6 6l1-1",
  send: "M4 12 20 4l-5 16-3.500-6.500L4 12Z",
};

export function setText(element: Element, text: string): void {
  // Writing the same text again would make screen readers repeat it.
  if (element.textContent !== text) element.textContent = text;
}

/** Makes `parent` hold exactly `nodes`, in this order, moving as little as possible. */
export function arrange(parent: Element, nodes: readonly Element[]): void {
  const wanted = new Set<Element>(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}
