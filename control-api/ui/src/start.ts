/** Starts a page. The script of every page ends with a call of `start`, and brings the common styles by importing it. */
import "./style.css";
import "./forms.css";
import "./records.css";
import { failure, root } from "./shell.js";

/** Runs the page; if it fails, the reason is shown in its place. */
export function start(page: () => unknown): void {
  Promise.resolve()
    .then(page)
    .catch((error: unknown) => root().replaceChildren(failure(error)));
}
